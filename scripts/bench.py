"""What genrun costs, each figure a ratio measured in this run on this machine: `make bench`.

1. An epoch through genrun against a hand-written torch loop: the same tensors, model, batches and optimizer.
2. Batches a second of the in-memory data path against torchvision's MNIST behind a DataLoader.
3. CSGM's vectorised step against the one-pixel loop of Algorithm 1, in pixels a second.

MNIST is read from $GENRUN_DATA where it is there; otherwise images of its size are made up, and the output says so.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

from genrun.callbacks.keeper import Keeper
from genrun.cli import compose
from genrun.data.images import Source, Stored
from genrun.data.module import ImageData
from genrun.methods.csgm import CSGM
from genrun.methods.method import Method
from genrun.runs import RunFolder
from genrun.signals import Signals
from genrun.training import make_trainer
from genrun.types import Batch

ROUNDS = 5  # pairs of measurements; the median ratio is printed


class Classifying(Method):
    """784–512–256–10 and Adam: a step so short that every overhead shows."""

    def __init__(self) -> None:
        super().__init__((1, 28, 28), 10)
        self.network = network()

    def training_step(self, batch: Batch, _: int) -> Tensor:
        loss = F.cross_entropy(self.network(batch.image.flatten(1)), batch.label)
        self.track(loss=loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters())


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10))


def mnist(n: int) -> tuple[Stored, str]:
    """n training images of MNIST, or made-up ones of the same size."""
    root = Path(os.environ.get("GENRUN_DATA", "../shared/data"))
    if (root / "MNIST" / "raw").is_dir():
        from genrun.data.sources import mnist as read

        return read(root=str(root)).train.take(torch.arange(n)), "MNIST"
    made_up = torch.randint(256, (n, 1, 28, 28), dtype=torch.uint8), torch.randint(10, (n,))
    return Stored(array=made_up[0], labels=made_up[1]), "made-up images of MNIST's size"


def through_genrun(method: Method, images: Stored, batch_size: int, epochs: int) -> list[float]:
    """Seconds of each epoch but the first, with the callbacks that every run has."""
    cfg = compose([f"trainer.max_epochs={epochs}", "callbacks.watching={}"])
    data = ImageData(lambda: Source(images, images.take(torch.arange(1)), tuple("0123456789"), "", []), batch_size)
    with tempfile.TemporaryDirectory() as scratch:
        folder = RunFolder(Path(scratch))
        folder.checkpoints.mkdir()
        keeper = Keeper(folder, Signals(), minutes=10)
        trainer = make_trainer(cfg, folder, keeper, Console(quiet=True))
        ends: list[float] = []
        trainer.callbacks.append(clock := EpochClock())
        trainer.fit(method, data)
        ends = clock.seconds
    return ends[1:]


class EpochClock(__import__("pytorch_lightning").Callback):
    """Seconds from an epoch's start to the end of its last batch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_epoch_start(self, *_: object) -> None:
        self.started = time.perf_counter()

    def on_train_epoch_end(self, *_: object) -> None:
        self.seconds.append(time.perf_counter() - self.started)


def by_hand(step: Callable[[Batch], None], images: Stored, batch_size: int) -> float:
    """Seconds of an epoch of a plain loop: shuffle, cut, convert, step."""
    started = time.perf_counter()
    for index in torch.randperm(len(images)).split(batch_size):
        step(Batch(images.array[index].float().div(255), images.labels[index], index))
    return time.perf_counter() - started


def classifier_pair(images: Stored) -> tuple[float, float, int]:
    """Medians of (genrun, by hand) seconds an epoch of the classifier, and its steps."""
    torch.manual_seed(0)
    plain = network()
    optimizer = torch.optim.Adam(plain.parameters())

    def step(batch: Batch) -> None:
        loss = F.cross_entropy(plain(batch.image.flatten(1)), batch.label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return paired(Classifying(), step, images, 100)


def csgm_pair(images: Stored) -> tuple[float, float, int]:
    """The same for CSGM as `model=csgm` configures it."""
    cfg = compose([])
    cfg.data.facts = {
        "image_shape": [1, 28, 28],
        "num_classes": 10,
        "class_names": [],
        "train_size": len(images),
        "checksum": "",
    }
    from genrun.run import build_method

    method, twin = build_method(cfg), build_method(cfg)
    optimizer = twin.configure_optimizers()
    step = csgm_step(twin, optimizer)
    return paired(method, step, images, cfg.data.batch_size)


def csgm_step(method: CSGM, optimizer: torch.optim.Optimizer) -> Callable[[Batch], None]:
    """CSGM's step as it would stand in a script of its own: the same mathematics, no runner."""
    raise NotImplementedError


def paired(method: Method, step: Callable[[Batch], None], images: Stored, batch_size: int) -> tuple[float, float, int]:
    ours, theirs = [], []
    for _ in range(ROUNDS):  # in turn, so that a drifting machine moves both
        theirs.append(min(by_hand(step, images, batch_size) for _ in range(2)))
        ours.append(min(through_genrun(method, images, batch_size, 3)))
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    middle = sorted(range(ROUNDS), key=ratios.__getitem__)[ROUNDS // 2]
    return ours[middle], theirs[middle], -(-len(images) // batch_size)
