"""The `fit` stage: train every phase. A phase that was killed resumes, and gives the same result bit for bit."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException

from genrun.callbacks.checkpoint import as_csv
from genrun.data.loaders import failed_worker
from genrun.distributed.launcher import workers_of
from genrun.errors import Failed, Interrupted, Refused, WrongArithmetic
from genrun.runs.folder import RunFolder
from genrun.runs.identity import taken_phases
from genrun.runs.phases import earlier_weights, phases_of
from genrun.runs.records import read_config
from genrun.runs.resume import run_with_phase
from genrun.runs.weights import read_weights, save_weights
from genrun.stages.context import RunContext
from genrun.system.console import say
from genrun.system.files import write_atomic
from genrun.system.hardware import kind_of, threads_of_each
from genrun.system.random_state import random_states, restore_random_states
from genrun.system.turns import held
from genrun.training.arithmetic import record_fault
from genrun.types import Phase


def fit(context: RunContext, keys: dict[str, str], starts: dict[str, Path | None]) -> None:
    """Train every phase that is not done; each phase is a stage of its own.

    Args:
        keys: stage → hash of everything that its result depends on.
        starts: stage → the checkpoint from which its phase continues; None: start from the beginning.
    """
    for phase in phases_of(context.cfg):
        key = keys[phase.stage]
        work = partial(train_or_take_over, context, phase, key, starts[phase.stage])
        context.folder.run_stage(phase.stage, key, work)


def train_or_take_over(context: RunContext, phase: Phase, key: str, start: Path | None) -> list[Path]:
    """Train a phase, or copy it from another run that has finished the same phase, and return its files.

    `model.<phase>.from_run` names that run. Without it, a phase is copied only from a run in a folder beside this one, and only if it is
    not the last phase, has no checkpoint to resume from, and `run.resume` is not `never`.
    """
    folder, phases = context.folder, phases_of(context.cfg)
    if phase.name in (taken := taken_phases(context.cfg.model)):
        context.enter(phase, earlier_weights(folder, phases, phase))
        source = RunFolder(taken[phase.name].parents[2])
        say(context.console, f"{phase.name}: taken from {source.path}; model.phases.{phase.name} is not used")
        return take_part(context, phase, source)
    if start is None and not phase.is_last and context.cfg.run.resume != "never":
        other = run_with_phase(folder, phase, key)
        if other is not None:
            say(context.console, f"{phase.name}: taken over from {other.path}")
            return take_over_phase(context, phase, other)
    if context.phase != phase or phase != phases[0]:  # a later phase begins with what the phase before it left
        context.enter(phase, earlier_weights(folder, phases, phase))
    return train(context, start)


def train(context: RunContext, start: Path | None) -> list[Path]:
    """Train the phase of the context until its budget is used; write its checkpoints, its rows of metrics.csv and its weights.

    Args:
        start: the checkpoint to continue from, of this run or of the run that it extends; None: start from the beginning.

    Returns:
        The weights and metrics.csv.

    Raises:
        NotFinite: a loss term became NaN or infinite.
        Interrupted: a signal arrived; `last.ckpt` holds the step at which training stopped.
        Refused: the checkpoint holds weights of another model.
        Failed: out of memory, or another process of the training ended.
    """
    folder, phase = context.folder, context.phase
    if context.judge.epoch_samples and phase.is_last:
        context.judge.ready()  # train the judge's classifier, if it needs one, before this training is timed
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def work() -> None:
        threads, trainer = threads_of_each(context.cfg), context.trainer
        trainer.loggers = list(context.loggers.start())
        with (
            held(kind_of(context.cfg.hardware.accelerator)),
            workers_of(trainer, folder, phase, threads, start),
            context.signals.deferred(),
        ):
            trainer.fit(context.method, context.data, ckpt_path=start, weights_only=True)
            context.checkpoint.end_training(trainer)

    try:
        in_right_arithmetic(context, work)
    except SIGTERMException as error:  # Lightning saw the signal before our callback did
        raise Interrupted(signal.SIGTERM) from error
    except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
        context.signals.check()  # it may be the reason: a signal to all processes ends what belongs to the training
        if isinstance(error, RuntimeError):
            if (failed := failed_worker(error)) is not None:
                raise failed from error
            if "loading state_dict" in str(error):
                raise Refused(
                    f"{start} holds weights of another model; delete it, and training starts over, or say run.resume=never"
                ) from error
            if "memory" not in str(error):
                raise
        smaller = max(1, context.data.batch_size // 2)
        raise Failed(f"out of memory in training; try data.batch_size={smaller}") from error
    checkpoint, trainer = context.checkpoint, context.trainer
    weights = folder.phase(phase).weights
    weights.parent.mkdir(parents=True, exist_ok=True)
    save_weights(weights, context.method)
    checkpoint.write_rows()  # again, because a kill may have come between the last checkpoint and its row
    epochs = len(checkpoint.rows)
    record_training(
        folder,
        phase,
        {
            "epoch": epochs,
            "step": trainer.global_step,
            "repeatable": context.cfg.trainer.max_time is None,
            "training_seconds": round(checkpoint.seconds, 2),
            "peak_memory_gib": peak_memory_gib(),
            "training_images": epochs * context.data.passes * len(context.data.train),
        },
    )
    return [weights, folder.path / "metrics.csv"]


def in_right_arithmetic(context: RunContext, work: Callable[[], None]) -> None:
    """Train the phase of the context; if its first step shows that the device computes wrongly in reduced precision, train in 32 bits.

    Args:
        work: trains with the method and the trainer that the context has.

    Raises:
        Refused: the device computes wrongly in the reduced precision that was asked for.
    """
    states = random_states()
    try:
        work()
    except WrongArithmetic as error:
        cfg, folder, phase = context.cfg, context.folder, context.phase
        record_fault(cfg, folder, phase, str(error))
        if (asked := str(cfg.hardware.precision)) != "auto":
            raise Refused(f"hardware.precision={asked}: {error}; use hardware.precision=32-true") from error
        line = f"warning: {error}; this training computes in 32 bits"
        say(context.console, line)
        context.enter(phase, earlier_weights(folder, phases_of(cfg), phase), exact=True)
        restore_random_states(states)
        work()


def take_over_phase(context: RunContext, phase: Phase, other: RunFolder) -> list[Path]:
    """Copy a phase from another run that did the same: its weights, metrics and costs; return the files."""
    weights = context.folder.phase(phase).weights
    weights.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(weights, other.phase(phase).weights.read_bytes())
    return [weights, copy_record(context, phase, other)]


def take_part(context: RunContext, phase: Phase, other: RunFolder) -> list[Path]:
    """Take from another run only what the phase trains, so that the rest of the model may differ; return the files.

    Raises:
        Refused: the other run's model has other parts, or has not finished the phase.
    """
    method, option = context.method, f"model.{phase.name}.from_run={other.path}"
    if phase.name not in other.status().get("phases", {}):
        raise Refused(f"{option}: that run has not finished its phase {phase.name}")
    facts = read_config(other.path).data.facts
    for fact in ("image_shape", "class_names"):
        if facts[fact] != context.cfg.data.facts[fact]:
            raise Refused(
                f"{option}: its data has the {fact} {list(facts[fact])}, expected {list(context.cfg.data.facts[fact])}"
            )
    trained = {name.partition(".")[0] for name, weight in method.named_parameters() if weight.requires_grad}
    mine = method.state_dict()
    theirs = read_weights(other.phase(phase).weights, option)
    part = {name: value for name, value in theirs.items() if name.partition(".")[0] in trained}
    for name in sorted(part.keys() | {name for name in mine if name.partition(".")[0] in trained}):
        expected, got = (tuple(one[name].shape) if name in one else "nothing" for one in (mine, part))
        if expected != got:
            raise Refused(f"{option}: weights of another {phase.name}: '{name}' expected {expected}, got {got}")
    method.load_state_dict(mine | part)
    weights = context.folder.phase(phase).weights
    weights.parent.mkdir(parents=True, exist_ok=True)
    save_weights(weights, method)
    return [weights, copy_record(context, phase, other)]


def copy_record(context: RunContext, phase: Phase, other: RunFolder) -> Path:
    """Copy a phase's rows of metrics.csv and its entry in status.json from another run; return the file of metrics."""
    folder, phases = context.folder, phases_of(context.cfg)
    # without the empty columns, which belong to the other run's later phases
    rows = [{name: text for name, text in row.items() if text} for row in other.metric_texts([phase])]
    write_atomic(folder.path / "metrics.csv", as_csv([*folder.metric_texts(phases[: phases.index(phase)]), *rows]))
    record_training(folder, phase, other.status()["phases"][phase.name] | {"taken_over_from": other.path.name})
    return folder.path / "metrics.csv"


def record_training(folder: RunFolder, phase: Phase, record: dict[str, Any]) -> None:
    """Record the cost of a phase of the training in status.json; if there are several phases, record their totals too.

    Args:
        record: the entries epoch, step, repeatable, training_seconds, peak_memory_gib, training_images.
    """
    if not phase.name:
        folder.record(**record)
        return
    phases = folder.status().get("phases", {}) | {phase.name: record}
    added = ("epoch", "step", "training_seconds", "training_images")
    totals: dict[str, Any] = {key: sum(each[key] for each in phases.values()) for key in added}
    totals["training_seconds"] = round(totals["training_seconds"], 2)
    totals["repeatable"] = all(each["repeatable"] for each in phases.values())
    totals["peak_memory_gib"] = max(each["peak_memory_gib"] for each in phases.values())
    folder.record(phases=phases, **totals)


def peak_memory_gib() -> float:
    """Return the peak memory of this process in GiB: memory of the CUDA device if there is one, otherwise main memory."""
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**30, 3)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3)
