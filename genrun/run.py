"""Do one run: read the facts of the data, compute the identity, build the method, do its stages. Read this file from the top.

The module can be called, see `genrun.CallableRun`: `genrun.run("model=vae")`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

import genrun
from genrun.config.compose import compose
from genrun.config.schema import check
from genrun.errors import GenrunError, Interrupted, Pruned, Refused, as_genrun_error, before_training, one_line
from genrun.parts import build_data, check_beforehand, read_facts, with_facts
from genrun.report.tables import show
from genrun.runs.folder import RunFolder
from genrun.runs.identity import digest, identity, taken_phases
from genrun.runs.logs import LogFile, logging_to
from genrun.runs.resume import check_resumable, parent_run, starting_checkpoint
from genrun.stages.keys import older_table, stage_keys
from genrun.system.console import say, screen
from genrun.system.files import write_atomic
from genrun.system.loading import is_loaded, load_torch
from genrun.system.signals import Signals

if TYPE_CHECKING:
    from pytorch_lightning import Callback

    from genrun.report.notebook import NotebookRun
    from genrun.stages.context import RunContext

sys.modules[__name__].__class__ = genrun.CallableRun
log = logging.getLogger("genrun")


def run(
    cfg: DictConfig,
    overrides: list[str],
    console: Console | None = None,
    *,
    wait: float = 0,
    callbacks: Sequence[Callback] = (),
    signals: Signals | None = None,
    on_folder: Callable[[RunFolder], None] | None = None,
    command: Sequence[str] | None = None,
    shows: bool = True,
) -> RunFolder:
    """Do the missing stages of the run that a configuration describes, and print its table of metrics.

    What torch's settings and random streams are before, they are afterwards.

    Args:
        overrides: the words of the command line, which are recorded in the run folder.
        wait: seconds to wait for another process that is working on the same run.
        callbacks: Lightning callbacks in addition to those of the configuration; they must not change the result.
        signals: the handler of the signals that stop a run; None: a second signal of the same kind ends the process. In a thread that is
            not the main one (a notebook's, a web app's) no signal is handled: the run ends with the process, and can be resumed.
        on_folder: called with the run folder as soon as it is known, also for a run that fails later.
        command: the words that provenance.json records as the command; None: those of the command line.
        shows: whether to print the table.

    Returns:
        The run folder.

    Raises:
        GenrunError: an error for the user, with its exit status and a message of one line.
        Interrupted: a signal stopped the run.
    """
    console, signals = console or screen(), signals or Signals()
    with before_training():
        check(cfg)
        facts, data = read_facts(cfg, lambda: before_torch(cfg, console))
        cfg = with_facts(cfg, facts)
        for name, weights in taken_phases(cfg.model).items():
            cfg.model[name].from_run = os.path.abspath(weights.parents[2])
        cfg.run.beside = [os.path.abspath(os.path.expanduser(pattern)) for pattern in cfg.run.get("beside") or []]
        folder = RunFolder.of(cfg)
        if on_folder is not None:
            on_folder(folder)
        keys = stage_keys(cfg, folder)
    if cfg.run.dry_run:
        check_resumable(cfg, folder)
        with before_training():
            before_torch(cfg, console)
        with before_training(), logging_to(logging.NullHandler()), signals.watching():
            from genrun.dry_run import dry_run

            dry_run(cfg, data or build_data(cfg), folder, console)
        return folder
    starts_over = cfg.run.resume == "never"
    if starts_over or not folder.finished(keys):
        check_resumable(cfg, folder)
        with before_training():
            before_torch(cfg, console)

        from genrun.stages.context import prepare
        from genrun.system.torch_state import torch_as_it_was

        with torch_as_it_was():
            with before_training(), logging_to(logging.NullHandler()):
                known = None if starts_over else keys
                context = prepare(cfg, folder, data or build_data(cfg), console, callbacks, signals, known)
            if starts_over and (folder.path / "status.json").is_file():
                with folder.lock(wait=wait):
                    say(console, f"moved the old run to {folder.move_aside()}")
            with folder.lock(wait=wait), signals.watching():
                check_resumable(cfg, folder)  # again, because another process may have finished in the meantime
                if starts_over or not folder.finished(keys):
                    attempt(context, overrides, keys, command or ["genrun", *sys.argv[1:]])
    if shows:
        show(folder, console)
        if notice := older_table(folder):
            say(console, notice)
    return folder


def before_torch(cfg: DictConfig, console: Console) -> None:
    """Import torch; before that say so, and refuse what can be refused without it.

    Raises:
        Refused: something is wrong with the configuration, the files of the data, or this machine.
    """
    if not is_loaded():
        say(console, "loading torch …")
        check_beforehand(cfg)
        load_torch()


def run_words(words: Sequence[str], config_dir: str | None = None, *, quiet: bool = False) -> NotebookRun:
    """Do what the command line does with these words, and return the run.

    Args:
        words: such as `model=vae` and `data=digits`.
        config_dir: a folder of the user's own groups.
        quiet: whether to print nothing.

    Raises:
        GenrunError: see `run`; any other error of the training is a `Failed` too.
        Interrupted: see `run`.
    """
    from genrun.report.notebook import open_run

    words = list(words)
    cfg = compose(words, config_dir)
    if cfg.run.dry_run:
        raise Refused("run.dry_run=true: a dry run leaves no run to return; give the command genrun --dry-run …")
    command = ["genrun", *(["--config-dir", config_dir] if config_dir else []), *words]
    try:
        folder = run(cfg, words, Console(quiet=True) if quiet else screen(), command=command, shows=False)
    except GenrunError:
        raise
    except Exception as error:
        raise as_genrun_error(error) from error
    return open_run(folder.path)


def attempt(context: RunContext, overrides: list[str], keys: dict[str, str], command: Sequence[str]) -> None:
    """Do every stage that is not done, and record how that ended."""
    folder = context.folder
    folder.begin_attempt()
    with logging_to(LogFile(folder)):
        log.info("genrun %s", " ".join(overrides))
        try:
            do_stages(context, keys, begin(context, overrides, keys, command))
            log.info("done")
        except BaseException as error:
            record_failure(folder, error)
            context.loggers.close("failed")
            raise
    folder.end_attempt("done")


class Beginning(NamedTuple):
    """Where an attempt begins."""

    parent: RunFolder | None  # the run that this one extends or refits
    starts: dict[str, Path | None]  # stage → the checkpoint from which its phase continues


def begin(context: RunContext, overrides: list[str], keys: dict[str, str], command: Sequence[str]) -> Beginning:
    """Find where this attempt begins, and write the configuration, the overrides, the provenance and the ids of the run."""
    from genrun.runs.checkout import checkout_of
    from genrun.runs.phases import phases_of
    from genrun.runs.provenance import provenance, write_provenance

    cfg, folder, phases = context.cfg, context.folder, phases_of(context.cfg)
    say(context.console, context.data.summary())
    say(context.console, f"run folder {folder.path}")
    parent = parent_run(cfg, folder, context.method)
    extended = parent if cfg.run.extend else None
    # before the provenance, which asks for checkpoints: a damaged one is renamed here
    starts = {phase.stage: starting_checkpoint(folder, phase, extended) for phase in phases}
    for stage, start in starts.items():
        if start is not None and not folder.stage_done(stage, keys.get(stage, "")):
            say(context.console, f"{stage}: continues from {start}")
    recorded_identity = identity(cfg)
    code = checkout_of(Path(genrun.__file__).parent)
    record = provenance(cfg, command, overrides, recorded_identity, code)
    write_provenance(folder, record, code, parent, context.console)
    recorded = OmegaConf.merge(cfg, {"run": {"resume": "auto"}}) if cfg.run.resume == "never" else cfg
    write_atomic(folder.path / "config.yaml", OmegaConf.to_yaml(recorded, resolve=True))
    write_atomic(folder.path / "overrides.yaml", OmegaConf.to_yaml(OmegaConf.create(overrides)))
    folder.record(id=keys[phases[-1].stage], group_id=digest({**recorded_identity, "seed": None}))
    if extended is not None:
        copy_from_shorter_run(context, extended)
    return Beginning(parent, starts)


def do_stages(context: RunContext, keys: dict[str, str], beginning: Beginning) -> None:
    """Do every stage that is not done, in their order."""
    from genrun.runs.weights import load_weights
    from genrun.stages.evaluate import evaluate
    from genrun.stages.figures import figures
    from genrun.stages.fit import fit
    from genrun.stages.refit import refit, take_over_training
    from genrun.stages.sample import sample
    from genrun.system.hardware import device_of
    from genrun.types import Refits

    cfg, folder = context.cfg, context.folder
    if cfg.run.refit_of is None:
        fit(context, keys, beginning.starts)
    else:
        take_over_training(context, keys, beginning.parent)
    method = context.method
    load_weights(method, folder.weights, "the trained weights")
    method.eval().to(device_of(cfg))
    stages: dict[str, Callable[[], list[Path]]] = {
        **({"refit": lambda: refit(context)} if isinstance(method, Refits) else {}),
        "sample": lambda: sample(context),
        "figures": lambda: figures(context) if cfg.run.get("figures", True) else [],
        "evaluate": lambda: evaluate(folder, cfg, context.data, method, context.judge),
    }
    for name, work in stages.items():
        context.signals.check()
        folder.run_stage(name, keys[name], work)
    folder.keep_checkpoints(cfg.run.keep_checkpoints)
    log_outcome(context)


def log_outcome(context: RunContext) -> None:
    """Give the loggers the final grid and the results."""
    from genrun.compat import logged_step

    folder, loggers = context.folder, context.loggers
    step = logged_step(context.trainer) or folder.status().get("step", 0)  # nothing was trained in this attempt
    loggers.start()
    loggers.picture("samples/final", (folder.samples / "final.png").read_bytes(), step)
    loggers.results(folder.results(), step)
    loggers.close()


def copy_from_shorter_run(context: RunContext, parent: RunFolder) -> None:
    """Copy files of the shorter run that the longer training does not write again: its first codes and its best.ckpt."""
    best = ["checkpoints/best.ckpt"] if context.checkpoint.keeps_best else []
    for file in ("figures/codes_first.npz", *best):
        if (parent.path / file).is_file() and not (parent.path / file).is_symlink():
            write_atomic(context.folder.path / file, (parent.path / file).read_bytes())


def record_failure(folder: RunFolder, error: BaseException) -> None:
    """Record in status.json that an attempt failed or was interrupted; log.txt gets the traceback, or one line if it was stopped."""
    stopped = isinstance(error, Pruned | Interrupted)
    if stopped:
        log.info("%s", one_line(error))
    else:
        log.error("%s", "".join(traceback.format_exception(error)).rstrip())
    state = "interrupted" if stopped or not isinstance(error, Exception) else "failed"
    with contextlib.suppress(OSError):  # the disk may be what failed
        folder.end_attempt(state, one_line(error), type(error).__name__)
