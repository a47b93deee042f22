"""Check the arithmetic of the device in the first step of a training in reduced precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from genrun.system.arithmetic import CheckedArithmetic


class ArithmeticCheck(Callback):
    """A callback that checks every operation in reduced precision of the first step, forward, backward and in the optimizer.

    The step itself stays as it is. If an operation is wrong, `WrongArithmetic` ends the training before anything of the step is kept.

    Args:
        needed: returns, at the first step, whether to check it; a training that goes on where it passed the check is not checked again.
        passed: called with the number of checked operations after a step without a fault.
    """

    def __init__(self, needed: Callable[[], bool], passed: Callable[[int], None]) -> None:
        self.needed, self.passed = needed, passed
        self.done = False
        self.checked: CheckedArithmetic | None = None

    def on_train_batch_start(self, trainer: pl.Trainer, method: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        if not self.done and self.needed():
            self.checked = CheckedArithmetic(method)
            self.checked.__enter__()
        self.done = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, method: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.checked is not None:
            self.passed(self.checked.operations)
            self._stop()

    def on_exception(self, trainer: pl.Trainer, method: pl.LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self.checked is not None:
            self.checked.__exit__(None, None, None)
            self.checked = None
