"""What must survive a kill: checkpoints, random states, the rows of metrics.csv, how far the run came."""

from __future__ import annotations

import csv
import io
import math
import shutil
import time
from pathlib import Path
from typing import IO, Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.cloud_io import _load as load_file
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from genrun.callbacks.epochs import EpochWatcher
from genrun.errors import Interrupted
from genrun.runs import RunFolder, atomic, write_atomic
from genrun.shared import agreed
from genrun.signals import Signals
from genrun.streams import random_states, restore_random_states


class Disk:
    """A file for torch to write to, which remembers why it could not be written."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, content: bytes) -> int:
        try:
            return self.file.write(content)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.file.flush()


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints that are whole on the disk or not there, and that load without running code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        with atomic(Path(path)) as file:
            disk = Disk(file)
            try:
                torch.save(checkpoint, disk)
            except RuntimeError as error:  # so torch reports what the disk said
                raise disk.error or error from error

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        return load_file(path, map_location=map_location or (lambda storage, _: storage), weights_only=True)


class Keeper(Checkpoint):
    """Saves `last.ckpt` at each epoch's end, `best.ckpt` when the method's `best_by` fell, and a row of metrics.csv.

    A `Checkpoint`, so that Lightning calls it after the method has logged its epoch. The rows and the random states are part of the
    checkpoint: what is resumed goes on bit for bit, and metrics.csv has each epoch once.

    Args:
        folder: the run folder.
        signals: asked at each batch's end whether to stop there.
        minutes: between checkpoints inside a long epoch.
        keeps_best: whether there is to be a `best.ckpt`.
    """

    def __init__(self, folder: RunFolder, signals: Signals, minutes: float, keeps_best: bool = True) -> None:
        self.folder = folder
        self.signals = signals
        self.minutes = minutes
        self.keeps_best = keeps_best
        self.rows: list[dict[str, Any]] = []
        self.best: float | None = None
        self.seconds = 0.0  # of training, over all attempts, without the looks between epochs
        self._since = self._saved = time.monotonic()
        self._watchers: list[EpochWatcher] = []

    # -- state

    def state_dict(self) -> dict[str, Any]:
        return {
            "rows": [dict(row) for row in self.rows],
            "best": self.best,
            "seconds": self._elapsed(),
            "rng": random_states(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows = [dict(row) for row in state["rows"]]
        self.best = state["best"]
        self.seconds = state["seconds"]
        restore_random_states(state["rng"])

    def _elapsed(self) -> float:
        return self.seconds + time.monotonic() - self._since - sum(watcher.seconds for watcher in self._watchers)

    # -- hooks

    def on_train_start(self, trainer: pl.Trainer, method: pl.LightningModule) -> None:
        self._watchers = [callback for callback in trainer.callbacks if isinstance(callback, EpochWatcher)]
        self._since = self._saved = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, method: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.is_last_batch:  # the epoch's end follows at once and saves itself
            return
        late = time.monotonic() - self._saved > 60 * self.minutes
        signal, late = agreed(trainer, self.signals.received or 0, late)
        if signal or late:
            self._save(trainer, "last")
        if signal:
            raise Interrupted(signal)

    def on_train_epoch_end(self, trainer: pl.Trainer, method: pl.LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        self._keep(trainer, method, epoch)
        (signal,) = agreed(trainer, self.signals.received or 0)
        if signal and epoch < (trainer.max_epochs or epoch + 1):
            raise Interrupted(signal)

    def _keep(self, trainer: pl.Trainer, method: pl.LightningModule, epoch: int) -> None:
        """A row and a checkpoint of an epoch that is over."""
        # Lightning keeps the value of an epoch that a watcher passed over
        stale = {name for watcher in self._watchers if watcher.looked < epoch for name in watcher.logged}
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if name not in stale}
        if not self.rows or self.rows[-1]["epoch"] < epoch:
            self.rows.append({"epoch": epoch, "step": trainer.global_step, **dict(sorted(metrics.items()))})
        score = metrics.get(method.best_by)
        # `best` is that of best.ckpt, which an attempt that keeps none leaves as it is
        if self.keeps_best and score is not None and (self.best is None or score < self.best):
            self.best = score
            self._save(trainer, "best")  # first: a kill in between repeats the epoch, and writes it again
            with open(self.folder.best, "rb") as best, atomic(self.folder.last) as last:
                shutil.copyfileobj(best, last)
        else:
            self._save(trainer, "last")
        self.write_rows()
        self.folder.record(epoch=epoch, step=trainer.global_step)

    def write_rows(self) -> None:
        write_atomic(self.folder.path / "metrics.csv", as_csv(self.rows))

    def on_train_end(self, trainer: pl.Trainer, method: pl.LightningModule) -> None:
        self.seconds, self._since, self._watchers = self._elapsed(), time.monotonic(), []

    def _save(self, trainer: pl.Trainer, name: str) -> None:
        trainer.lightning_module.look()  # what is no longer finite must not replace the last good checkpoint
        trainer.save_checkpoint(self.folder.checkpoints / f"{name}.ckpt")
        self._saved = time.monotonic()


class Follower(Keeper):
    """What a keeper is in the other processes of a training: it saves when that of process 0 does, which alone writes."""

    def __init__(self, folder: RunFolder) -> None:
        super().__init__(folder, Signals(), minutes=math.inf)

    @property
    def state_key(self) -> str:
        return (
            Keeper.__qualname__
        )  # a checkpoint is process 0's, and so are the random states that are restored from it

    def _keep(self, trainer: pl.Trainer, method: pl.LightningModule, epoch: int) -> None:
        self._save(trainer, "last")


def as_csv(rows: list[dict[str, Any]]) -> str:
    """Rows as CSV, one column for each key that occurs; floats in the shortest form that reads back equal."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
