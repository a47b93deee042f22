"""Show the progress of a training: a bar on a terminal, a line for each epoch elsewhere and in the run's log.txt."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from genrun.system.console import say
from genrun.types import Phase

log = logging.getLogger("genrun")
REFRESH = 0.25  # seconds between two drawings of the bar


class TrainingProgress(Callback):
    """A callback that shows the phase, the epoch, the loss terms, images per second and the time left.

    Args:
        console: where to write: a bar if it is a terminal, otherwise a plain line for each epoch, which log.txt gets in any case.
        phase: the phase of the training.
        phases: all phases; the time left assumes that epochs of later phases take as long as those of this phase.
    """

    def __init__(self, console: Console, phase: Phase, phases: Sequence[Phase]) -> None:
        self.console = console
        self.name = f"{phase.name} " if phase.name else ""
        self.later_epochs = sum(later.max_epochs for later in phases[phases.index(phase) + 1 :])
        self.bar: Progress | None = None
        self._images = 0
        self._started = self._drawn = self._last_step = 0.0

    def on_train_start(self, trainer: pl.Trainer, method: pl.LightningModule) -> None:
        self._first = trainer.current_epoch
        if self.console.is_terminal:
            self.bar = Progress(
                TextColumn(self.name + "epoch {task.fields[epoch]}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[terms]}"),
                TextColumn("{task.fields[rate]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self.console,
                refresh_per_second=4,
                speed_estimate_period=120,
            )
            total = trainer.num_training_batches * (trainer.max_epochs + self.later_epochs)
            done = trainer.num_training_batches * trainer.current_epoch + trainer.fit_loop.batch_idx + 1
            self.task = self.bar.add_task(
                "", total=total, completed=done, epoch=trainer.current_epoch + 1, terms="", rate=""
            )
            self.bar.start()
        self._all_started = time.monotonic()

    def on_train_epoch_start(self, trainer: pl.Trainer, method: pl.LightningModule) -> None:
        self._images, self._started = 0, time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, method: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._images += len(batch[0]) * trainer.world_size  # each rank has its share
        if batch_idx + 1 == trainer.num_training_batches:
            method.running_means()  # this waits for a GPU, which may be some steps behind
        self._last_step = clock = time.monotonic()
        if self.bar is not None and clock - self._drawn > REFRESH:
            self._drawn = clock
            self.bar.update(
                self.task,
                completed=trainer.num_training_batches * trainer.current_epoch + batch_idx + 1,
                epoch=f"{trainer.current_epoch + 1}/{trainer.max_epochs}",
                terms=terms_text(method.running_means()),
                rate=f"{self._images / (clock - self._started):,.0f} images/s",
            )

    def on_train_epoch_end(self, trainer: pl.Trainer, method: pl.LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        seconds = self._last_step - self._started  # without the look at held-out images
        epochs_left = trainer.max_epochs - epoch + self.later_epochs
        left = (time.monotonic() - self._all_started) / (epoch - self._first) * epochs_left
        values = method.running_means()
        for name, value in trainer.callback_metrics.items():
            if name.startswith("val/"):
                values[f"val/{name.rpartition('/')[2]}"] = float(value)  # without the phase, which the line begins with
        # of a training that was stopped in its last batch there is nothing left to time
        rate = f"{self._images / seconds:,.0f} images/s" if self._images else "done before"
        line = f"{self.name}epoch {epoch}/{trainer.max_epochs}  {terms_text(values)}  {rate}  {left:,.0f} s left"
        if self.bar is None:
            say(self.console, line)
        else:
            log.info("%s", line)

    def on_train_end(self, trainer: pl.Trainer, method: pl.LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: pl.Trainer, method: pl.LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self.bar is not None:
            if not self.later_epochs:
                self.bar.update(self.task, completed=self.bar.tasks[0].total)
            self.bar.stop()
            self.bar = None


def terms_text(terms: dict[str, float]) -> str:
    """Return the loss terms and their values as one line."""
    return "  ".join(f"{name} {value:.4g}" for name, value in terms.items())
