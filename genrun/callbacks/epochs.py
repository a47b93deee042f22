"""What is looked at after an epoch: a grid of samples from the same noise each time, a quick judgement, the first codes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from genrun.figures.grid import image_grid, png_bytes, to_uint8
from genrun.inference import class_grid, sample_chunks, seeded
from genrun.runs.folder import RunFolder
from genrun.system.files import atomic, write_atomic
from genrun.types import KeepsCodes

if TYPE_CHECKING:
    from genrun.evaluation.judge import Judge


class EpochWatcher(Callback):
    """Looks at the method once after each epoch, in evaluation mode, and leaves the global random stream alone.

    It looks before the epoch is validated where there is validation: averaged weights are swapped back after that.

    Args:
        every: epochs between looks; the first and the last epoch always have one.
    """

    def __init__(self, every: int = 1) -> None:
        self.every = every
        self.seen = 0  # the last epoch that was looked at
        self.looked = 0  # the last epoch that was not passed over
        self.logged: set[str] = set()  # metrics that looking added
        self.seconds = 0.0  # spent on looking, in this attempt

    def look(self, method: pl.LightningModule, epoch: int) -> None:
        """Whatever there is to be seen of the method after this epoch (1, 2, …); without gradients."""
        raise NotImplementedError

    def on_validation_epoch_end(self, trainer: pl.Trainer, method: pl.LightningModule) -> None:
        self._look(trainer, method)

    def on_train_epoch_end(self, trainer: pl.Trainer, method: pl.LightningModule) -> None:
        if self.seen < trainer.current_epoch + 1:  # an epoch without validation
            method.eval()
            self._look(trainer, method)
            method.train()

    def _look(self, trainer: pl.Trainer, method: pl.LightningModule) -> None:
        epoch = self.seen = trainer.current_epoch + 1
        if epoch % self.every and epoch not in (1, trainer.max_epochs):
            return
        started, self.looked = time.monotonic(), epoch
        with torch.no_grad():
            self.look(method, epoch)
        self.seconds += time.monotonic() - started


class SampleGrid(EpochWatcher):
    """Writes samples/epoch_0001.png and so on: a row for each class, the same noise in every epoch.

    Args:
        folder: the run folder.
        every: epochs between grids; the first and the last epoch always have one.
        columns: images in a row.
    """

    def __init__(self, folder: RunFolder, seed: int, every: int = 1, columns: int = 10) -> None:
        super().__init__(every)
        self.folder = folder
        self.seed = seed
        self.columns = columns

    def look(self, method: pl.LightningModule, epoch: int) -> None:
        images = class_grid(method, self.columns, self.seed)
        write_atomic(self.folder.samples / f"epoch_{epoch:04d}.png", png_bytes(image_grid(images, self.columns)))


class EpochJudge(EpochWatcher):
    """Adds judge/label_accuracy, judge/class_entropy, judge/frechet and judge/kernel of a few samples to the epoch's metrics.

    Args:
        judge: says how many samples, how often, and what they are worth.
        seed: of the samples, the same in every epoch.
        chunk: images at a time.
    """

    def __init__(self, judge: Judge, seed: int, chunk: int) -> None:
        super().__init__(judge.epoch_every)
        self.judge = judge
        self.seed = seed
        self.chunk = chunk

    def look(self, method: pl.LightningModule, epoch: int) -> None:
        parts = list(sample_chunks(method, self.judge.epoch_samples, self.seed, self.chunk))
        images = torch.from_numpy(to_uint8(torch.cat([part for part, _ in parts]))).permute(0, 3, 1, 2)
        labels = torch.cat([part for _, part in parts]) if method.num_classes else None
        found = {f"judge/{name}": value for name, value in self.judge.glance(images, labels).items()}
        self.log_dict(found)
        self.logged |= found.keys()


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
