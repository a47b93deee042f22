"""Watch a training after each epoch: a grid of samples from the same noise, a quick judgement, and the first codes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, WeightAveraging

from genrun.callbacks.loggers import RunLoggers
from genrun.compat import logged_step
from genrun.figures.grid import image_grid, png_bytes, to_uint8
from genrun.inference import class_grid, sample_chunks, seeded
from genrun.runs.folder import RunFolder
from genrun.system.files import atomic, write_atomic
from genrun.types import KeepsCodes

if TYPE_CHECKING:
    from genrun.evaluation.judge import Judge
    from genrun.methods.method import Method


def check_count(name: str, value: int) -> None:
    """Check that an option of a callback is at least 1.

    Raises:
        ValueError: it is not.
    """
    if value < 1:
        raise ValueError(f"{name}: expected at least 1, got {value}")


@contextmanager
def as_in_validation(trainer: pl.Trainer, method: Method) -> Iterator[None]:
    """Show the method as it is at the end of a validation: averaged weights are in place, and its samples are prepared."""
    averages = [callback for callback in trainer.callbacks if isinstance(callback, WeightAveraging)]
    with ExitStack() as swapped, torch.random.fork_rng(devices=[]):
        for average in averages:
            average.on_validation_epoch_start(trainer, method)
            swapped.callback(average.on_validation_epoch_end, trainer, method)
        method.prepare_samples()
        yield


class EpochWatcher(Callback):
    """A callback that observes the method after an epoch, in evaluation mode, without using the global random stream.

    In an epoch with validation it observes in `on_validation_epoch_end`, before averaged weights are swapped back; in one without, they are
    swapped for it.

    Args:
        every: observe every so many epochs, and always the first and the last.
    """

    def __init__(self, every: int = 1) -> None:
        check_count("every", every)
        self.every = every
        self.last_epoch = 0  # the last epoch that was handled, observed or skipped
        self.last_observed = 0  # the last epoch that was observed
        self.logged: set[str] = set()  # names of the metrics that observing added
        self.seconds = 0.0  # spent on observing in this attempt

    def observe(self, method: pl.LightningModule, epoch: int) -> None:
        """Observe the method after this epoch (1, 2, …); gradients are off."""
        raise NotImplementedError

    def on_validation_epoch_end(self, trainer: pl.Trainer, method: pl.LightningModule) -> None:
        self._observe_if_due(trainer, method)

    def on_train_epoch_end(self, trainer: pl.Trainer, method: pl.LightningModule) -> None:
        if self.last_epoch < trainer.current_epoch + 1:  # an epoch without validation
            method.eval()
            self._observe_if_due(trainer, method, as_in_validation(trainer, method))
            method.train()

    def _observe_if_due(
        self,
        trainer: pl.Trainer,
        method: pl.LightningModule,
        prepared: AbstractContextManager[None] = nullcontext(),  # noqa: B008 - it holds nothing
    ) -> None:
        epoch = self.last_epoch = trainer.current_epoch + 1
        if epoch % self.every and epoch not in (1, trainer.max_epochs):
            return
        started, self.last_observed = time.monotonic(), epoch
        with torch.no_grad(), prepared:
            self.observe(method, epoch)
        self.seconds += time.monotonic() - started


class SampleGrid(EpochWatcher):
    """A callback that writes samples/epoch_0001.png and so on: one row per class, the same noise in every epoch.

    Args:
        folder: the run folder.
        seed: seed of the noise.
        every: write a grid every so many epochs, and always in the first and the last.
        columns: images in a row.
        loggers: get each grid, too; None: no loggers.
    """

    def __init__(
        self, folder: RunFolder, seed: int, every: int = 1, columns: int = 10, loggers: RunLoggers | None = None
    ) -> None:
        super().__init__(every)
        check_count("columns", columns)
        self.folder = folder
        self.seed = seed
        self.columns = columns
        self.loggers = loggers

    def observe(self, method: pl.LightningModule, epoch: int) -> None:
        images = class_grid(method, self.columns, self.seed)
        grid = png_bytes(image_grid(images, self.columns))
        write_atomic(self.folder.samples / f"epoch_{epoch:04d}.png", grid)
        if self.loggers is not None:
            self.loggers.picture("samples/epochs", grid, logged_step(method.trainer))


class EpochJudge(EpochWatcher):
    """A callback that judges a few samples and adds the results to the epoch's metrics.

    The metrics are judge/label_accuracy, judge/class_entropy, judge/frechet and judge/kernel.

    Args:
        judge: computes the metrics; its options say how many samples to judge, and how often.
        seed: seed of the samples, the same in every epoch.
        chunk: number of images that are sampled at a time.
    """

    def __init__(self, judge: Judge, seed: int, chunk: int) -> None:
        super().__init__(judge.epoch_every)
        self.judge = judge
        self.seed = seed
        self.chunk = chunk

    def observe(self, method: pl.LightningModule, epoch: int) -> None:
        parts = list(sample_chunks(method, self.judge.epoch_samples, self.seed, self.chunk))
        images = torch.from_numpy(to_uint8(torch.cat([part for part, _ in parts]))).permute(0, 3, 1, 2)
        labels = torch.cat([part for _, part in parts]) if method.num_classes else None
        found = {f"judge/{name}": value for name, value in self.judge.glance(images, labels).items()}
        self.log_dict(found)
        self.logged |= found.keys()


class FirstCodes(Callback):
    """A callback that saves some codes after the first epoch, for the figure that compares them with the last ones.

    Args:
        folder: the run folder.
        seed: seed of the choice of codes.
        most: largest number of codes that are saved.
    """

    def __init__(self, folder: RunFolder, seed: int, most: int = 2000) -> None:
        check_count("most", most)
        self.folder = folder
        self.seed = seed
        self.most = most

    def on_train_epoch_end(self, trainer: pl.Trainer, method: pl.LightningModule) -> None:
        if trainer.current_epoch == 0 and isinstance(method, KeepsCodes):
            codes = method.stored_codes()
            index = torch.randperm(len(codes), generator=seeded(self.seed))[: self.most]
            with atomic(self.folder.figures / "codes_first.npz") as file:
                np.savez(file, codes=codes[index].cpu().numpy(), index=index.numpy())
