"""argv → a run, a sweep or a verb. Imports neither torch nor Lightning: whatever can answer without them does."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable
from importlib import resources
from typing import NoReturn

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from genrun.errors import Failed, GenrunError, Refused, nearest

VERBS = ("evaluate", "refit", "sample")
GROUPS = ("model", "data", "trainer", "hardware", "callbacks", "logger", "evaluation", "experiment")


def main() -> NoReturn:
    """The command `genrun`; ends the process with status 0, 1, 2, 130 or 143."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing and leaving with 1
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    try:
        status = guarded(lambda: dispatch([word for word in arguments if word != "--debug"], debug=debug), debug=debug)
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)


def report(error: GenrunError) -> int:
    """Print an error as one line to stderr and return the exit status."""
    print(f"genrun: {' '.join(str(error).split())}", file=sys.stderr)
    return error.status


def dispatch(arguments: list[str], *, debug: bool) -> int:
    if arguments[:1] and arguments[0] in VERBS:
        return importlib.import_module(f"genrun.verbs.{arguments[0]}").main(arguments[1:])
    flags = {"--dry-run": "run.dry_run=true"}
    arguments = [flags.get(argument, argument) for argument in arguments]
    parsed = parse(arguments)
    if debug:
        arguments.append("run.debug=true")
        parsed.overrides.append("run.debug=true")
    if parsed.multirun and not (
        parsed.help or parsed.hydra_help or parsed.cfg or parsed.info or parsed.shell_completion
    ):
        from genrun.sweeps import sweep

        return sweep(parsed.overrides, parsed.config_dir)
    return run_hydra(arguments, parsed, debug=debug)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Hydra's own flags; an unknown one is refused in one line."""
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        hint = nearest(message.rpartition(" ")[2], [*parser._option_string_actions, "--dry-run", "--debug"])
        raise Refused(f"{message}{hint}; genrun --help shows what there is")

    parser.error = refuse
    return parser.parse_intermixed_args(arguments)


def run_hydra(arguments: list[str], parsed: argparse.Namespace, *, debug: bool) -> int:
    """Let Hydra compose, and show help, configuration or completion; a run's status is kept beside it."""
    import hydra

    status = 0

    def job(cfg: DictConfig) -> None:
        nonlocal status
        from hydra.core.hydra_config import HydraConfig

        from genrun.run import run

        def work() -> int:
            run(cfg, list(HydraConfig.get().overrides.task))
            return 0

        status = guarded(work, debug=debug)

    sys.argv = [sys.argv[0], *(word for word in arguments if word not in parsed.overrides), *parsed.overrides]
    try:
        hydra.main(config_path="pkg://genrun.conf", config_name="config", version_base="1.3")(job)()
    except SystemExit as leave:
        return int(leave.code or 0)
    except Exception as error:
        raise explain(error, parsed.overrides, parsed.config_dir) from error
    return status


def guarded(work: Callable[[], int], *, debug: bool) -> int:
    """Do the work, which returns a status, and turn its errors into one line and theirs."""
    try:
        return work()
    except Exception as error:
        if debug:
            raise
        return report(one_line(error))


def one_line(error: Exception) -> GenrunError:
    """The error itself, or where it was not foreseen a line that says where its traceback is."""
    if isinstance(error, GenrunError):
        return error
    return Failed(f"{type(error).__name__}: {error} (--debug shows the traceback, a run's log.txt has it)")


# -------------------------------------------------------------------------------------------------- composition and its errors


def compose(overrides: list[str], config_dir: str | None = None, *, hydra: bool = False) -> DictConfig:
    """The configuration that these overrides make; with `hydra` what is said to Hydra stands in it as well.

    Raises:
        Refused: syntax, group, choice, key or type, in one line with the nearest right name.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra

    search = [f"hydra.searchpath=[file://{os.path.abspath(config_dir)}]"] if config_dir else []
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("genrun.conf", version_base="1.3"):
            return hydra_compose("config", overrides=[*overrides, *search], return_hydra_config=hydra)
    except Exception as error:
        raise explain(error, overrides, config_dir) from error


def explain(error: Exception, overrides: list[str], config_dir: str | None = None) -> GenrunError:
    """One line for an error of composition, with the nearest right name."""
    from hydra.errors import (
        ConfigCompositionException,
        HydraException,
        MissingConfigException,
        OverrideParseException,
        SearchPathException,
    )

    if isinstance(error, GenrunError):
        return error
    text = " ".join((str(error) or str(error.__cause__)).split())
    if isinstance(error, OverrideParseException):
        word = error.override.partition("=")[0]
        return Refused(f"cannot read '{error.override}': expected option=value{nearest(word, [*VERBS, *GROUPS])}")
    if isinstance(error, MissingConfigException):
        group, _, choice = (error.missing_cfg_file or "").rpartition("/")
        choices = [option for option in error.options or [] if not option.endswith("/")]
        return Refused(
            f"{group}={choice}: no such choice{nearest(choice, choices)}; there {'is' if len(choices) == 1 else 'are'} "
            + ", ".join(choices)
        )
    if isinstance(error, ConfigCompositionException) and "Could not override" in text:
        key = text.split("'")[1].split("@")[0]
        if users := models_with(key):
            return Refused(f"{key}: this model has no such part; {', '.join(users)} have")
        known = [
            name for name in known_keys(overrides, config_dir) if name.startswith("hydra.") == key.startswith("hydra.")
        ]
        near = nearest(key, known) or nearest(key.rpartition(".")[2], [name.rpartition(".")[2] for name in known])
        return Refused(f"{key}: no such option{near}; to add an option of your own write +{key}=…")
    if "Ambiguous value for argument" in text:
        return Refused(f"{text.split(chr(39))[1]} is several values: add -m to run each, or write [a,b] for a list")
    if isinstance(error, HydraException | OmegaConfBaseException | SearchPathException):
        return Refused(text)
    return Refused(f"{type(error).__name__}: {text}")


def models_with(group: str) -> list[str]:
    """The models of the package that choose from a group below `model`, such as model/prior."""
    folder = resources.files("genrun.conf") / "model"
    files = sorted((path for path in folder.iterdir() if path.name.endswith(".yaml")), key=lambda path: path.name)
    return [path.name.removesuffix(".yaml") for path in files if f"/{group}: " in path.read_text()]


def known_keys(overrides: list[str], config_dir: str | None) -> list[str]:
    """Every group and dotted key of the configuration that the group choices among the overrides make."""
    choices = [text for text in overrides if text.partition("=")[0] in (*GROUPS, "hydra/launcher", "hydra/sweeper")]
    try:
        cfg = compose(choices, config_dir, hydra=True)
    except GenrunError:
        cfg = compose([], hydra=True)

    def walk(node: DictConfig, prefix: str) -> list[str]:
        names = []
        for key in node:
            names.append(f"{prefix}{key}")
            if (
                OmegaConf.is_dict(child := node._get_node(key))
                and not child._is_none()
                and not child._is_interpolation()
            ):
                names += walk(child, f"{prefix}{key}.")
        return names

    return [*GROUPS, *walk(cfg, "")]
