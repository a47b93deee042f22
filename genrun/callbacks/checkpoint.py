"""Save what must survive a kill: checkpoints, random states, the rows of metrics.csv, and the progress of the run."""

from __future__ import annotations

import csv
import io
import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from genrun.callbacks.epochs import EpochWatcher
from genrun.compat import read_checkpoint
from genrun.distributed.strategy import rank_zero_values
from genrun.errors import Interrupted
from genrun.runs.folder import TABLE, RunFolder
from genrun.system.files import atomic, write_atomic
from genrun.system.random_state import random_states, restore_random_states
from genrun.system.signals import Signals
from genrun.types import Phase


class ErrorRecordingFile:
    """A file that torch writes to; it keeps the error of the file system, which torch hides."""

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
    """A checkpoint IO that writes checkpoints whole or not at all, and loads them without running code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        with atomic(Path(path)) as file:
            recorder = ErrorRecordingFile(file)
            try:
                torch.save(checkpoint, recorder)
            except RuntimeError as error:  # torch raises this for any error of the file
                raise recorder.error or error from error

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        return read_checkpoint(path, map_location or (lambda storage, _: storage))


class RunCheckpoint(Checkpoint):
    """A callback that saves `last.ckpt` and a row of metrics.csv each epoch, and `best.ckpt` when `best_by` is lowest.

    It is a Lightning `Checkpoint`, so Lightning calls it after the method has logged its epoch. The rows and the random
    states are part of the checkpoint, so a resumed run goes on bit for bit, and metrics.csv has each epoch once.

    Args:
        folder: the run folder.
        phase: the phase of the training.
        earlier: the phases before it, whose rows of metrics.csv stay.
        signals: checked at the end of each batch; a signal stops the training there.
        minutes: minutes between checkpoints inside a long epoch.
        keeps_best: whether to write `best.ckpt`.
    """

    def __init__(
        self,
        folder: RunFolder,
        phase: Phase,
        earlier: Sequence[Phase] = (),
        *,
        signals: Signals,
        minutes: float,
        keeps_best: bool = True,
    ) -> None:
        self.folder = folder
        self.phase = phase
        self.earlier = earlier
        self.files = folder.phase(phase)
        self.signals = signals
        self.minutes = minutes
        self.keeps_best = keeps_best
        self.rows: list[dict[str, Any]] = []
        self.best: float | None = None
        self.table = TABLE  # version of the judge that `best` may come from
        self.seconds = 0.0  # spent on training in all attempts, without the time of the epoch watchers
        self._since = self._saved = time.monotonic()
        self._watchers: list[EpochWatcher] = []
        self._ended = False

    # -- state

    @property
    def state_key(self) -> str:
        """The key of this callback's state in a checkpoint: the same in every rank and in checkpoints of earlier versions."""
        return "Keeper"

    def state_dict(self) -> dict[str, Any]:
        return {
            "rows": [dict(row) for row in self.rows],
            "best": self.best,
            "table": self.table,
            "seconds": self._elapsed(),
            "rng": random_states(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows = [dict(row) for row in state["rows"]]
        self.best, self.table = state["best"], state.get("table", 2)  # checkpoints have it since the third version
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
        if trainer.is_last_batch:  # the end of the epoch follows at once and saves
            return
        late = time.monotonic() - self._saved > 60 * self.minutes
        signal, late = rank_zero_values(trainer, self.signals.received or 0, late)
        if signal or late:
            self._save(trainer, self.files.last)
        if signal:
            raise Interrupted(signal)

    def on_train_epoch_end(self, trainer: pl.Trainer, method: pl.LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        self._save_epoch(trainer, method, epoch)
        (signal,) = rank_zero_values(trainer, self.signals.received or 0)
        if signal and epoch < (trainer.max_epochs or epoch + 1):
            raise Interrupted(signal)

    def on_train_end(self, trainer: pl.Trainer, method: pl.LightningModule) -> None:
        self.seconds, self._since, self._watchers = self._elapsed(), time.monotonic(), []
        self._ended = True

    def end_training(self, trainer: pl.Trainer) -> None:
        """Call what Lightning calls at the end of a training, if it did not because the checkpoint holds a finished training.

        For example, averaged weights are taken over then. The checkpoint of the last epoch holds them beside those that were trained.
        """
        if not self._ended:
            for callback in trainer.callbacks:
                if callback is not self:
                    callback.on_train_end(trainer, trainer.lightning_module)
            trainer.lightning_module.on_train_end()

    # -- files

    def _save_epoch(self, trainer: pl.Trainer, method: pl.LightningModule, epoch: int) -> None:
        """Write the row and the checkpoint of a finished epoch."""
        # for an epoch that a watcher skipped, Lightning still has the value of an earlier one
        stale = {name for watcher in self._watchers if watcher.last_observed < epoch for name in watcher.logged}
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if name not in stale}
        if not self.rows or self.rows[-1]["epoch"] < epoch:
            named = {"phase": self.phase.name} if self.phase.name else {}
            self.rows.append(named | {"epoch": epoch, "step": trainer.global_step, **dict(sorted(metrics.items()))})
        score = metrics.get(method.column(method.best_by))
        if self.table != TABLE and method.best_by.startswith("judge/"):
            self.best = None  # scores of an earlier judge cannot be compared with new ones
        self.table = TABLE
        # `best` is the score of best.ckpt; with keeps_best=False both stay as they are
        if self.keeps_best and score is not None and (self.best is None or score < self.best):
            self.best = score
            # best.ckpt first: after a kill in between, the epoch is repeated and writes it again
            self._save(trainer, self.files.best)
            with open(self.files.best, "rb") as best, atomic(self.files.last) as last:
                shutil.copyfileobj(best, last)
        else:
            self._save(trainer, self.files.last)
        self.write_rows()
        self.folder.record(epoch=epoch, step=trainer.global_step)

    def write_rows(self) -> None:
        """Write metrics.csv: the rows of the earlier phases, then those of this phase."""
        rows = [*self.folder.metric_texts(self.earlier), *self.rows]
        write_atomic(self.folder.path / "metrics.csv", as_csv(rows))

    def _save(self, trainer: pl.Trainer, file: Path) -> None:
        trainer.lightning_module.check_finite()  # NaN or Inf must not replace the last good checkpoint
        file.parent.mkdir(parents=True, exist_ok=True)
        trainer.save_checkpoint(file)
        self._saved = time.monotonic()


class WorkerCheckpoint(RunCheckpoint):
    """The checkpoint callback of the ranks above 0: it takes part when rank 0 saves, but writes nothing."""

    def __init__(self, folder: RunFolder, phase: Phase) -> None:
        super().__init__(folder, phase, signals=Signals(), minutes=math.inf)

    def _save_epoch(self, trainer: pl.Trainer, method: pl.LightningModule, epoch: int) -> None:
        self._save(trainer, self.files.last)


def as_csv(rows: list[dict[str, Any]]) -> str:
    """Return rows as CSV, with one column for each key; floats have the shortest form that reads back equal."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
