"""The epochs of a training: how long each takes, and the images a second."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from pytorch_lightning import Callback

from genrun.runs.folder import RunFolder


class Epoch(NamedTuple):
    """An epoch of a training."""

    phase: str
    images: int
    seconds: float  # of its steps, without the work at its end, such as the checkpoint


class Trained(NamedTuple):
    """A run that was trained in this process."""

    epochs: list[Epoch]
    first_step: float  # processor time of this process until the first step, s
    folder: RunFolder

    def rate(self, phase: str = "") -> float:
        """Return the images a second of the steps of all epochs of a phase but the first, which also warms up; or of the only one."""
        own = [epoch for epoch in self.epochs if epoch.phase == phase]
        counted = own[1:] or own
        return sum(epoch.images for epoch in counted) / sum(epoch.seconds for epoch in counted)


class EpochClock(Callback):
    """A callback that measures the steps of each epoch."""

    def __init__(self) -> None:
        self.epochs: list[Epoch] = []
        self.first_step: float | None = None  # processor time of this process
        self.started, self.last, self.images, self.phase = 0.0, 0.0, 0, ""

    def on_train_epoch_start(self, trainer: Any, method: Any) -> None:
        self._end()
        self.started, self.phase = time.perf_counter(), method.phase

    def on_train_batch_start(self, trainer: Any, method: Any, batch: Any, batch_idx: int) -> None:
        if self.first_step is None:
            self.first_step = time.process_time()

    def on_train_batch_end(self, trainer: Any, method: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.images += len(batch.image)
        self.last = time.perf_counter()

    def on_train_end(self, trainer: Any, method: Any) -> None:
        self._end()

    def _end(self) -> None:
        if self.images:
            self.epochs.append(Epoch(self.phase, self.images, self.last - self.started))
            self.images = 0
