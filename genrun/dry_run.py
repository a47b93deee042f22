"""`--dry-run`: build everything, train some batches in every phase of the training, and write nothing."""

from __future__ import annotations

import logging
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback
from rich.console import Console
from rich.table import Table
from rich.text import Text

from genrun.callbacks.arithmetic import ArithmeticCheck
from genrun.callbacks.clipping import GradientClipping
from genrun.data.module import ImageData
from genrun.runs.folder import RunFolder
from genrun.runs.logs import logging_to
from genrun.runs.phases import earlier_weights, phases_of
from genrun.runs.resume import extended_run
from genrun.runs.weights import save_weights
from genrun.stages.context import RunContext, prepare
from genrun.stages.fit import in_right_arithmetic
from genrun.stages.keys import state_of
from genrun.system.console import duration, say
from genrun.system.hardware import processes

WARM_UP, TIMED = 3, 10  # training steps before the clock starts, and steps that are timed
PATIENCE = 10.0  # seconds after which slow steps are not timed further


class StepClock(Callback):
    """A callback that measures the seconds per training step, without the first steps, and keeps the first batch.

    It ends the training when enough steps were timed, or when it has taken long and two steps are done.

    Args:
        epochs: the budget of the training that is tried.
    """

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.ends: list[float] = []
        self.batch = None

    def on_train_start(self, trainer: pl.Trainer, method: pl.LightningModule) -> None:
        self.started = time.monotonic()
        self.epochs = min(self.epochs, method.epochs_needed() or self.epochs)

    def on_train_batch_end(
        self, trainer: pl.Trainer, method: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.ends.append(time.monotonic())
        self.batch = self.batch or batch
        slow = len(self.ends) > 1 and self.ends[-1] - self.started > PATIENCE
        if slow or len(self.ends) == WARM_UP + TIMED:
            trainer.should_stop = True

    @property
    def seconds(self) -> float:
        """Return the mean seconds of a training step; if there is only one, it includes what is done once."""
        ends = self.ends[min(WARM_UP, max(0, len(self.ends) - 2)) :]
        ends = ends if len(ends) > 1 else [self.started, *ends]
        return (ends[-1] - ends[0]) / (len(ends) - 1)


def dry_run(cfg: DictConfig, data: ImageData, folder: RunFolder, console: Console) -> None:
    """Print the shapes, the number of parameters and the time that the training would take.

    Raises:
        GenrunError: the run itself would be refused.
    """
    # train in a temporary folder, which is deleted afterwards
    with tempfile.TemporaryDirectory() as scratch:
        short = cfg.copy()
        short.run.extend = False
        context = prepare(short, RunFolder(Path(scratch)), data, console)  # checks what the run itself would check
        if (many := processes(cfg)) > 1:
            short.hardware.devices = 1  # here one process trains with the whole batch
            context = prepare(short, RunFolder(Path(scratch)), data, console)
        clocks = timed_phases(context)
    if cfg.run.extend and not folder.last.is_file():
        extended_run(cfg, folder, context.method)
    steps, facts = len(data.train_dataloader()), data.facts()
    phases = phases_of(cfg)
    total = sum(steps * clock.epochs * clock.seconds for clock in clocks)
    each = []
    for phase, clock in zip(phases, clocks, strict=True):
        name = f"{phase.name}: " if phase.name else ""
        each.append(f"{name}{clock.epochs} epochs of {steps:,} steps, {1000 * clock.seconds:.1f} ms a step")
    image, label, _ = clocks[0].batch
    table = Table(
        title=Text(f"{folder.path}: {state_of(cfg, folder)}", overflow="fold"),
        title_justify="left",
        box=None,
        show_header=False,
        pad_edge=False,
    )
    for name, value in {
        "batch": f"image {tuple(image.shape)} {image.dtype}, label {tuple(label.shape)}",
        "images": f"{facts.train_size:,} to train, {len(data.validation):,} held out, {len(data.test):,} to test",
        "classes": f"{facts.num_classes}" + (f" ({', '.join(facts.class_names)})" if facts.num_classes <= 12 else ""),
        "parameters": f"{context.method.num_parameters():,}",
        "device": f"{context.trainer.strategy.root_device}, {torch.get_num_threads()} threads, precision {context.trainer.precision}"
        + (
            f"; the run shares each batch among {many} processes, and the time is that of one process"
            if many > 1
            else ""
        ),
        "training": f"{'; '.join(each)}: about {duration(total)}"
        + (f"; it stops at trainer.max_time={cfg.trainer.max_time}" if cfg.trainer.max_time else ""),
    }.items():
        table.add_row(name, Text(value, overflow="fold"))
    say(console, data.summary())
    console.print(table)


def build_all(cfg: DictConfig, data: ImageData) -> None:
    """Build everything that a run needs, also what later phases of its training need, and train and write nothing.

    Raises:
        GenrunError: the run would be refused.
    """
    with tempfile.TemporaryDirectory() as scratch, logging_to(logging.NullHandler()):
        short = cfg.copy()
        short.run.extend = False
        context = prepare(short, RunFolder(Path(scratch)), data, Console(quiet=True))
        for phase in phases_of(short)[1:]:
            context.enter(phase)


def timed_phases(context: RunContext) -> list[StepClock]:
    """Train some steps of every phase and return the clock of each; a phase starts with the weights of the phase before it."""
    clocks = []
    for phase in phases_of(context.cfg):
        if context.phase != phase:
            context.enter(phase, earlier_weights(context.folder, phases_of(context.cfg), phase))
        clock = StepClock(context.trainer.max_epochs)
        in_right_arithmetic(context, partial(train_some_steps, context, clock))
        clocks.append(clock)
        if not phase.is_last:
            weights = context.folder.phase(phase).weights
            weights.parent.mkdir(parents=True)
            save_weights(weights, context.method)
    return clocks


def train_some_steps(context: RunContext, clock: StepClock) -> None:
    """Train some steps of the context's phase, with the callbacks that belong to a step and with a clock."""
    trainer = context.trainer
    of_step = [one for one in trainer.callbacks if isinstance(one, GradientClipping | ArithmeticCheck)]
    trainer.callbacks, trainer.loggers = [clock, *of_step], []
    steps = min(WARM_UP + TIMED, len(context.data.train_dataloader()))
    trainer.limit_train_batches, trainer.limit_val_batches = steps, 0
    # an epoch of few steps does not say how long a step takes: its first step also does what is done once
    trainer.fit_loop.max_epochs = min(clock.epochs, -(-(WARM_UP + TIMED) // steps))
    trainer.fit_loop.min_epochs = None
    trainer.fit(context.method, context.data)
