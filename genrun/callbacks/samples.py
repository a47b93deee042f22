"""What is kept of the epochs: a grid of samples from the same noise each time, and the first codes."""

from __future__ import annotations

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from genrun.figures.grid import image_grid, png_bytes
from genrun.runs import RunFolder, atomic, write_atomic
from genrun.sampling import class_grid, seeded
from genrun.types import KeepsCodes


class SampleGrid(Callback):
    """Writes samples/epoch_0001.png and so on: a row for each class, the same noise in every epoch.

    Runs before the epoch is validated, when the method is in evaluation mode, and leaves the global random stream alone.

    Args:
        folder: the run folder.
        every: epochs between grids; the first and the last epoch always have one.
        columns: images in a row.
    """

    def __init__(self, folder: RunFolder, seed: int, every: int = 1, columns: int = 10) -> None:
        self.folder = folder
        self.seed = seed
        self.every = every
        self.columns = columns
        self.drawn = 0  # the last epoch that was looked at

    def on_validation_epoch_end(self, trainer: pl.Trainer, method: pl.LightningModule) -> None:
        self._draw(trainer, method)

    def on_train_epoch_end(self, trainer: pl.Trainer, method: pl.LightningModule) -> None:
        if self.drawn < trainer.current_epoch + 1:  # an epoch without validation
            method.eval()
            self._draw(trainer, method)
            method.train()

    def _draw(self, trainer: pl.Trainer, method: pl.LightningModule) -> None:
        epoch = self.drawn = trainer.current_epoch + 1
        if epoch % self.every and epoch not in (1, trainer.max_epochs):
            return
        with torch.no_grad():
            images = class_grid(method, self.columns, self.seed)
        write_atomic(self.folder.samples / f"epoch_{epoch:04d}.png", png_bytes(image_grid(images, self.columns)))


class FirstCodes(Callback):
    """Keeps some codes as they are after the first epoch, for the figure that compares them with the last.

    Args:
        folder: the run folder.
        most: codes that are kept.
    """

    def __init__(self, folder: RunFolder, seed: int, most: int = 2000) -> None:
        self.folder = folder
        self.seed = seed
        self.most = most

    def on_train_epoch_end(self, trainer: pl.Trainer, method: pl.LightningModule) -> None:
        if trainer.current_epoch == 0 and isinstance(method, KeepsCodes):
            codes = method.stored_codes()
            index = torch.randperm(len(codes), generator=seeded(self.seed))[: self.most]
            with atomic(self.folder.figures / "codes_first.npz") as file:
                np.savez(file, codes=codes[index].cpu().numpy(), index=index.numpy())
