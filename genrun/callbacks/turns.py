"""Let other runs on this machine have their turns between the batches of a training."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from genrun.system.turns import turns


class PassTurn(Callback):
    """After a batch, let another process have its turn if that of this one is over; see `genrun.system.turns`."""

    def on_train_batch_end(
        self, trainer: pl.Trainer, method: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        turns.pass_on()
