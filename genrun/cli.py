"""The command line: start a run, a sweep or a verb.

This module imports neither torch nor Lightning, so that commands which do not need them answer quickly.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from genrun import __version__
from genrun.compat import flags_of, hydra_argument_parser
from genrun.errors import Interrupted, Refused, as_genrun_error, did_you_mean, nearest, print_error
from genrun.system.ending import end_at_once
from genrun.system.streams import lost_output, open_streams
from genrun.verbs import VERBS, main_of

if TYPE_CHECKING:
    from omegaconf import DictConfig


# choices of a sweep, which a single run does not read; sweep.name=… and hydra.launcher.…=… stand in the recorded commands of jobs
OF_SWEEPS = ("hydra/launcher", "hydra/sweeper", "hydra.sweeper")


def main() -> NoReturn:
    """Run the command `genrun`, and end the process with exit status 0, 1, 2, 130 or 143."""
    status = 1  # where --debug lets an exception through
    end_at_once(lambda: status)
    status = command()
    sys.exit(status)


def command() -> int:
    """Do what the words of the command line say, and return the exit status."""
    streams = open_streams()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors instead of printing them and exiting with 1
    # Matplotlib warns of a settings folder that it cannot write, and works without it
    logging.getLogger("matplotlib").addHandler(logging.NullHandler())
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    try:
        status = guarded(lambda: dispatch([word for word in arguments if word != "--debug"], debug=debug), debug=debug)
    except KeyboardInterrupt:
        status = 130
    except SystemExit as leave:  # the help of a verb was shown
        status = int(leave.code or 0)
    if lost := lost_output(streams):
        print(f"genrun: {lost}", file=sys.stderr)
    return status


def dispatch(arguments: list[str], *, debug: bool) -> int:
    """Start the verb, the sweep or the run that the command line asks for, and return the exit status.

    Raises:
        Refused: the current folder was deleted, or the command line is wrong.
    """
    try:
        os.getcwd()
    except OSError as error:
        raise Refused(f"the current folder cannot be read ({error.strerror}); change to another one with cd") from None
    if arguments[:1] and arguments[0] in VERBS:
        return main_of(arguments[0])(arguments[1:])
    if {"--help", "-h"} & set(arguments):
        from genrun.verbs import help

        return help.main(arguments)
    if "--version" in arguments:
        print(f"genrun {__version__}")
        return 0

    from genrun.config.compose import check_config_dir

    flags = {"--dry-run": "run.dry_run=true"}
    arguments = [flags.get(argument, argument) for argument in arguments]
    parsed = parse(arguments)
    if debug:
        arguments.append("run.debug=true")
        parsed.overrides.append("run.debug=true")
    check_words(parsed.overrides)
    check_config_dir(parsed.config_dir)
    if parsed.shell_completion and any(word.startswith("query=") for word in parsed.overrides):
        from genrun.verbs.completion import complete

        if complete(os.environ.get("COMP_LINE", "")):
            return 0
    asks_hydra = parsed.hydra_help or parsed.cfg or parsed.info or parsed.shell_completion
    sys.argv = [sys.argv[0], *(word for word in arguments if word not in parsed.overrides), *parsed.overrides]
    if parsed.multirun and not asks_hydra:
        from genrun.sweeps.sweep import sweep

        return sweep(parsed.overrides, parsed.config_dir)
    other_root = parsed.config_name or parsed.config_path or parsed.experimental_rerun
    if asks_hydra or other_root or any(word.lstrip("+~").startswith("hydra") for word in parsed.overrides):
        return run_hydra(parsed, debug=debug)
    return run_words(parsed)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parse Hydra's own flags; the other words are left in `overrides`.

    Raises:
        Refused: a flag is unknown.
    """
    parser = hydra_argument_parser()

    def refuse(message: str) -> NoReturn:
        message = message.replace(" run.dry_run=true", "")  # which stands for --dry-run
        hint = nearest(message.rpartition(" ")[2], [*flags_of(parser), "--dry-run", "--debug"])
        raise Refused(f"{message}{hint}; genrun --help shows what there is")

    parser.error = refuse
    return parser.parse_intermixed_args(arguments)


def check_words(words: list[str]) -> None:
    """Check that every word has the form option=value; any other word is probably a verb or a choice.

    Raises:
        Refused: a word has another form; the message says which verbs there are, and suggests the nearest verb, group or choice.
    """
    from genrun.config.compose import group_choices

    for word in words:
        if "=" in word or word.startswith("~"):
            continue
        choices = group_choices()
        named = [f"{group}={word}" for group in choices if "/" not in group and word in choices[group]]
        if word in choices:
            hint = f"; {word}=… is one of {', '.join(choices[word])}"
        elif named:
            hint = did_you_mean(named)
        else:
            hint = nearest(word, [*VERBS, *choices])
        raise Refused(
            f"cannot read '{word}': expected option=value{hint}, or first one of the verbs {', '.join(VERBS)}; "
            "a run needs no verb; genrun --help shows what there is"
        )


def check_single(words: list[str]) -> None:
    """Check that no word of a single run is for a sweep.

    Raises:
        Refused: one is; without -m it would do nothing.
    """
    if alone := next((word for word in words if word.lstrip("+~").startswith(OF_SWEEPS)), None):
        raise Refused(f"{alone}: this is for a sweep, and the command is a single run; add -m, or leave it out")


def run_words(parsed: argparse.Namespace) -> int:
    """Compose a configuration once, which Hydra's own main function does twice, and run it.

    Returns:
        The exit status.
    """
    from genrun.config.compose import compose
    from genrun.config.container import plain

    cfg = compose(parsed.overrides, parsed.config_dir, hydra=True)
    check_single(parsed.overrides)

    from hydra.core.hydra_config import HydraConfig
    from omegaconf import open_dict

    from genrun.run import run

    current = HydraConfig.instance()
    before = current.cfg
    current.set_config(cfg)  # what ${hydra:…} reads
    words = plain(cfg.hydra.overrides.task)
    with open_dict(cfg):
        del cfg.hydra
    try:
        run(cfg, words)
    finally:
        current.cfg = before
    return 0


def run_hydra(parsed: argparse.Namespace, *, debug: bool) -> int:
    """Let Hydra show its help, the configuration or a completion, or compose a configuration and run it.

    Returns:
        The exit status.
    """
    import hydra

    from genrun.config.compose import explain, name_parts
    from genrun.config.container import plain

    status = 0

    def job(cfg: DictConfig) -> None:
        nonlocal status
        from hydra.core.hydra_config import HydraConfig

        from genrun.run import run

        def work() -> int:
            name_parts(cfg, HydraConfig.get().runtime.choices)
            check_single(parsed.overrides)
            run(cfg, plain(HydraConfig.get().overrides.task))
            return 0

        status = guarded(work, debug=debug)

    try:
        hydra.main(config_path="pkg://genrun.conf", config_name="config", version_base="1.3")(job)()
    except SystemExit as leave:
        return int(leave.code or 0)
    except Exception as error:
        raise explain(error, parsed.overrides, parsed.config_dir) from error
    return status


def guarded(work: Callable[[], int], *, debug: bool) -> int:
    """Call `work` and return its exit status; if it raises an error, print one line and return the error's exit status.

    Args:
        debug: whether to raise the error instead.
    """
    try:
        return work()
    except (Exception, Interrupted) as error:
        if debug and not isinstance(error, Interrupted):
            raise
        return print_error(as_genrun_error(error))
