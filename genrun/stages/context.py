"""Build and check the objects that all stages of a run share, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from omegaconf import DictConfig
from pytorch_lightning import Callback, Trainer
from rich.console import Console
from torch import Tensor

from genrun.callbacks.checkpoint import RunCheckpoint
from genrun.callbacks.loggers import RunLoggers
from genrun.data.module import ImageData
from genrun.errors import Refused
from genrun.inference import training_codes
from genrun.parts import build_judge, make_method
from genrun.report.compare import check_beside
from genrun.runs.folder import RunFolder
from genrun.runs.phases import is_trained, phases_of
from genrun.runs.provenance import threads_of
from genrun.runs.resume import extended_run, refitted_run
from genrun.system.hardware import check_device
from genrun.system.signals import Signals
from genrun.system.threads import set_threads
from genrun.training.trainer import make_loggers, make_trainer
from genrun.types import Calibrates, Phase

if TYPE_CHECKING:
    from genrun.evaluation.judge import Judge
    from genrun.methods.method import Method


@dataclass
class RunContext:
    """The objects that the stages of a run share.

    Args:
        callbacks: Lightning callbacks in addition to those of the configuration.
        loggers: the loggers beside metrics.csv, which all phases of the training share.
        class_pairs: pairs of classes that figures show as pairs; empty: some.

    Attributes:
        phase: the phase of the training for which `method`, `trainer` and `checkpoint` were built.
    """

    cfg: DictConfig
    folder: RunFolder
    data: ImageData
    judge: Judge
    console: Console
    signals: Signals
    callbacks: Sequence[Callback]
    loggers: RunLoggers
    class_pairs: Sequence[tuple[int, int]] = ()
    phase: Phase = field(init=False)
    method: Method = field(init=False)
    trainer: Trainer = field(init=False)
    checkpoint: RunCheckpoint = field(init=False)

    @cached_property
    def training_codes(self) -> Tensor:
        """The codes of all training images, on the CPU: (N, D). They are computed once, when the training is over."""
        train = self.data.train
        return training_codes(self.method, train, torch.arange(len(train)), self.cfg.sample.chunk).cpu()

    def enter(self, phase: Phase, earlier_weights: Path | None = None, *, exact: bool = False) -> None:
        """Build the method, the checkpoint callback and the trainer for a phase of the training.

        Args:
            earlier_weights: the weights that the phase before this one left; None: do not load any.
            exact: compute in 32 bits, whatever the configuration says.

        Raises:
            Refused: a class or option is wrong, or the method does not support the hardware options.
        """
        cfg, folder, phases = self.cfg, self.folder, phases_of(self.cfg)
        self.phase = phase
        self.method = make_method(cfg, phase, earlier_weights)
        try:
            self.method.configure_optimizers()
        except ValueError as error:
            raise Refused(f"model.optimizer: {error}") from error
        self.checkpoint = RunCheckpoint(
            folder,
            phase,
            phases[: phases.index(phase)],
            signals=self.signals,
            minutes=cfg.run.checkpoint_minutes,
            keeps_best=cfg.run.keep_checkpoints in ("all", "best"),
        )
        self.trainer = make_trainer(
            cfg, folder, phase, self.checkpoint, self.console, self.judge, self.callbacks, self.loggers, exact=exact
        )


def prepare(
    cfg: DictConfig,
    folder: RunFolder,
    data: ImageData,
    console: Console,
    callbacks: Sequence[Callback] = (),
    signals: Signals | None = None,
    keys: Mapping[str, str] | None = None,
) -> RunContext:
    """Build the parts of a run and check them; the method and the trainer are those of the first phase that is not done.

    Args:
        keys: stage → hash of everything that its result depends on; None: the run starts from its beginning.

    Raises:
        Refused: a class, option or device is wrong or missing.
    """
    set_threads(cfg.hardware.threads, None if keys is None else threads_of(folder), console)
    check_device(cfg)
    data.check_workers()
    judge = build_judge(cfg, data, console)
    loggers = make_loggers(cfg, folder, console)
    context = RunContext(cfg, folder, data, judge, console, signals or Signals(), callbacks, loggers)
    phases = phases_of(cfg)
    missing = [phase for phase in phases if keys is None or not folder.stage_done(phase.stage, keys[phase.stage])]
    context.enter(missing[0] if missing else phases[-1])
    method = context.method
    if cfg.run.extend and not folder.last.is_file() and not is_trained(cfg, folder.status()):
        extended_run(cfg, folder, method)
    if cfg.run.refit_of is not None:
        refitted_run(cfg, folder, method)
    try:
        if keys is None or folder.status()["state"] == "new":
            method.check_options()
        method.check_data(data.train.labels)
    except ValueError as error:
        raise Refused(str(error)) from error
    if isinstance(method, Calibrates) and not len(data.validation):
        raise Refused(
            f"data.validation={cfg.data.validation}: {cfg.model.name} needs held-out images, which set what sampling needs"
        )
    if data.augment.changes and (reason := method.not_augmented()) is not None:
        raise Refused(f"data.augment: {reason}; leave out data.augment.flip and data.augment.shift")
    judge.check(cfg.sample.n, f"sample.n={cfg.sample.n}")
    check_beside(cfg, folder)
    return context
