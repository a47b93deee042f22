"""Callbacks that disturb a run, for configurations to name: `_target_=helpers.callbacks.…`."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import ClassVar

from pytorch_lightning import Callback

from genrun.runs import folder as runs
from genrun.runs.folder import RunFolder


class StopAfterFirst(Callback):
    """Breaks off in the second epoch."""

    def __init__(self, folder: runs.RunFolder, seed: int) -> None:
        pass

    def on_train_batch_end(self, trainer, *_) -> None:
        if trainer.current_epoch == 1:
            raise RuntimeError("stop here")


class Disturbance(Callback):
    """Stops the run once at each of `stops`: (epoch, batch, how)."""

    stops: ClassVar[list[tuple[int, int, str]]] = []

    def __init__(self, folder: RunFolder, seed: int) -> None:
        pass

    def on_train_batch_end(self, trainer, method, outputs, batch, batch_idx: int) -> None:
        if self.stops and (trainer.current_epoch, batch_idx) == self.stops[0][:2]:
            *_, how = self.stops.pop(0)
            if how == "breaks":
                raise RuntimeError("the machine is gone")
            os.kill(os.getpid(), signal.SIGTERM)


class Ends(Callback):
    """Something happens to one process in the second epoch, once."""

    def __init__(self, rank: int, mark: str, signum: int) -> None:
        self.rank, self.mark, self.signum = rank, Path(mark), signum

    def on_train_batch_end(self, trainer, method, outputs, batch, batch_idx) -> None:
        if (trainer.current_epoch, batch_idx, trainer.global_rank) == (1, 1, self.rank) and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), self.signum)
