"""Measure what genrun costs, as ratios between two programs in the same run on this machine (`make bench`).

Needs MNIST in $GENRUN_DATA.

1. An epoch in genrun against a hand-written torch loop with the same tensors, model, batches and optimizer.
2. Batches per second of genrun's in-memory data against torchvision's MNIST with a DataLoader.
3. CSGM's vectorised step against the one-pixel loop of Algorithm 1, in pixels per second.
4. Seconds that `genrun --help` and the command of a finished run take.
"""

from __future__ import annotations

import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from genrun.callbacks.checkpoint import RunCheckpoint
from genrun.config.compose import compose
from genrun.data.images import Source, Stored
from genrun.data.loaders import EpochOrder, MemoryLoader
from genrun.data.module import ImageData
from genrun.data.sources import mnist
from genrun.methods.csgm import CSGM, by_pixel
from genrun.methods.method import Method
from genrun.parts import build_method
from genrun.runs.folder import RunFolder
from genrun.system.signals import Signals
from genrun.training.trainer import make_trainer
from genrun.types import Batch, Phase

PAIRS = 5  # both sides are measured in turn so many times; the pair with the median ratio is printed
ROOT = Path(os.environ.get("GENRUN_DATA", "../shared/data"))


class SmallClassifier(Method):
    """A 784–512–256–10 network with Adam. Its steps are so short that every overhead shows."""

    def __init__(self) -> None:
        super().__init__((1, 28, 28), 10)
        self.network = classifier_network()

    def training_step(self, batch: Batch, _: int) -> Tensor:
        loss = F.cross_entropy(self.network(batch.image.flatten(1)), batch.label)
        self.track(loss=loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters())


def classifier_network() -> nn.Sequential:
    """Return a 784–512–256–10 network."""
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10))


class EpochClock(pl.Callback):
    """Measures the seconds from the start of each epoch until all the work at its end is done."""

    def __init__(self) -> None:
        self.starts: list[float] = []

    def on_train_epoch_start(self, *_: object) -> None:
        self.starts.append(time.perf_counter())

    on_train_end = on_train_epoch_start

    @property
    def seconds(self) -> list[float]:
        """The duration of each epoch."""
        return [end - start for start, end in zip(self.starts[:-1], self.starts[1:], strict=True)]


def genrun_epoch(method: Method, images: Stored, batch_size: int, cfg: DictConfig | None = None) -> float:
    """Return the seconds of an epoch with genrun's trainer, including its checkpoint and its row of metrics.csv.

    Args:
        method: to train.
        images: to train on.
        batch_size: images in a batch.
        cfg: configuration of the trainer, hardware and callbacks; None: the defaults.
    """
    cfg = cfg or compose(["trainer.max_epochs=3", "callbacks=none"])
    test = images.take(torch.arange(1))
    data = ImageData(lambda: Source(images, test, tuple("0123456789"), "", []), batch_size)
    with tempfile.TemporaryDirectory() as scratch:
        folder = RunFolder(Path(scratch))
        folder.checkpoints.mkdir()
        phase = Phase(max_epochs=cfg.trainer.max_epochs)
        checkpoint = RunCheckpoint(folder, phase, signals=Signals(), minutes=10)
        trainer = make_trainer(cfg, folder, phase, checkpoint, Console(quiet=True))
        trainer.callbacks.insert(0, clock := EpochClock())
        trainer.fit(method, data)
    return min(clock.seconds[1:])


def plain_epoch(step: Callable[[Batch], None], images: Stored, batch_size: int) -> float:
    """Return the seconds of an epoch of a hand-written loop: shuffle, split, convert, step."""
    started = time.perf_counter()
    for index in torch.randperm(len(images)).split(batch_size):
        step(Batch(images.array[index].float().div(255), images.labels[index], index))
    return time.perf_counter() - started


def classifier_step() -> Callable[[Batch], None]:
    """Return a hand-written training step of the 784–512–256–10 network."""
    model = classifier_network()
    optimizer = torch.optim.Adam(model.parameters())

    def step(batch: Batch) -> None:
        loss = F.cross_entropy(model(batch.image.flatten(1)), batch.label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def build(images: Stored, *words: str) -> tuple[Method, DictConfig]:
    """Build a method for MNIST as its YAML and some words describe it. Return it with its configuration."""
    cfg = compose([*words])
    cfg.data.facts = {
        "image_shape": [1, 28, 28],
        "num_classes": 10,
        "class_names": [],
        "train_size": len(images),
        "checksum": "",
    }
    return build_method(cfg), cfg


def csgm_step(method: CSGM, images: Stored) -> Callable[[Batch], None]:
    """Return a training step on these images with the mathematics of `model=csgm`, as a standalone script would write it."""
    method.start_codes(images.images, images.labels)
    optimizer = method.configure_optimizers()
    visited = 0

    def step(batch: Batch) -> None:
        nonlocal visited
        method.labels[batch.index] = batch.label
        places, target = method.visited_places(by_pixel(batch.image))
        codes = method.codes[batch.index].requires_grad_()
        d, g = method.outputs(codes + method.code_noise * torch.randn_like(codes), batch.label, places)
        error_d = (1 - d).square().sum() + method.error_on_fresh_codes(batch.label)
        error_g, _ = method.errors_of_g(g, target)
        optimizer.zero_grad()
        ((method.d_weight * error_d + error_g) / 2).backward()
        optimizer.step()
        method.move_codes(batch.index, codes.grad, method.code_rate)
        visited += len(batch.index)
        if visited >= len(method.codes):
            method.whiten_codes()
            visited = 0

    return step


def one_pixel_loop(method: CSGM, images: Stored, steps: int) -> float:
    """Return the pixels per second of Algorithm 1 as the document states it: one image, one pixel, one step.

    Args:
        method: `model=csgm_paper`, whose network sees class, code and place at once.
        images: the first one is visited.
        steps: of the visit.
    """
    optimizer = torch.optim.SGD(method.network.parameters(), lr=0.01)
    image, label, code = (
        images.array[0].float().div(255),
        F.one_hot(images.labels[0], 10).float(),
        method.codes[0].clone(),
    )
    started = time.perf_counter()
    for n in range(steps):
        m = n / steps
        place = int(torch.randint(784, (1,)))
        seen = code.requires_grad_()
        out = method.network(torch.cat([label, seen])[None], method.places[place][None])[0, 0]
        target = torch.tensor([m, image.flatten()[place]])
        optimizer.zero_grad()
        ((target - out).square().sum() / 2).backward()
        optimizer.step()
        code = (code - 0.01 * seen.grad).detach()
    return steps / (time.perf_counter() - started)


def batches_per_second(loader: MemoryLoader | DataLoader, most: int) -> float:
    """Return the batches per second of at most `most` batches, after the first one, which waits for workers to start."""
    stream = iter(loader)
    next(stream)
    started = time.perf_counter()
    count = sum(1 for _ in zip(range(most), stream, strict=False))
    return count / (time.perf_counter() - started)


def median_pair(ours: Callable[[], float], theirs: Callable[[], float]) -> tuple[float, float]:
    """Measure both sides in turn, and return the pair with the median ratio. A machine that gets slower affects both sides."""
    ours(), theirs()
    pairs = [(ours(), theirs()) for _ in range(PAIRS)]
    middle = statistics.median_low([a / b for a, b in pairs])
    return next(pair for pair in pairs if pair[0] / pair[1] == middle)


def command_times() -> list[tuple[str, float, str]]:
    """Return the name, the median seconds of three calls and the goal of `--help` and of a finished run's command."""
    with tempfile.TemporaryDirectory() as scratch:
        tiny = ["trainer.max_epochs=1", "data.limit=200", "sample.n=10", "evaluation=none", f"paths.outputs={scratch}"]
        run = [sys.executable, "-m", "genrun"]
        subprocess.run([*run, *tiny], check=True, capture_output=True)

        def median(*arguments: str) -> float:
            times = []
            for _ in range(3):
                started = time.perf_counter()
                subprocess.run([*run, *arguments], check=True, capture_output=True)
                times.append(time.perf_counter() - started)
            return statistics.median(times)

        return [("genrun --help", median("--help"), "< 1 s"), ("a finished run's command", median(*tiny), "< 2 s")]


def main() -> None:
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    if not (ROOT / "MNIST" / "raw").is_dir():
        sys.exit(f"bench: MNIST is not in {ROOT}; set GENRUN_DATA to the folder that holds MNIST/raw")
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)  # for both sides, as in a run
    torch.utils.deterministic.fill_uninitialized_memory = False
    train = mnist(root=str(ROOT)).train
    table = Table("measured in this run", "genrun", "other", "ratio", "goal", box=None, pad_edge=False)

    some = train.take(torch.arange(20000))
    step = classifier_step()
    ours, theirs = median_pair(
        lambda: genrun_epoch(SmallClassifier(), some, 100), lambda: min(plain_epoch(step, some, 100) for _ in range(2))
    )
    each = f"{ours:.2f} s", f"{theirs:.2f} s", f"{ours / theirs:.2f}", "≤ 1.30"
    table.add_row("epoch of 784–512–256–10, batch 100, against a hand-written loop", *each)
    table.add_row("   overhead of a step", f"{(ours - theirs) / 200 * 1e6:.0f} µs", "", "", "")

    method, cfg = build(some, "model=csgm")
    size, twin = cfg.data.batch_size, csgm_step(method, some)
    ours, theirs = median_pair(
        lambda: genrun_epoch(build_method(cfg), some, size),
        lambda: min(plain_epoch(twin, some, size) for _ in range(2)),
    )
    each = f"{ours:.2f} s", f"{theirs:.2f} s", f"{ours / theirs:.2f}", "≤ 1.15"
    table.add_row(f"epoch of CSGM, batch {size}, against a hand-written loop", *each)

    plain = datasets.MNIST(ROOT, transform=transforms.ToTensor())
    memory = MemoryLoader(train, EpochOrder(len(train), 100, seed=0), torch.device("cpu"))
    for workers in (0, 2):
        other = DataLoader(plain, 100, shuffle=True, num_workers=workers)
        ours, theirs = median_pair(
            lambda: batches_per_second(memory, 600), lambda other=other: batches_per_second(other, 150)
        )
        each = f"{ours:,.0f}/s", f"{theirs:,.0f}/s", f"{ours / theirs:.0f}", "≥ 20"
        table.add_row(f"batches of 100 against torchvision and a DataLoader, {workers} workers", *each)

    several = some.take(torch.arange(20 * size))
    paper, pixels = build(several, "model=csgm_paper")[0], len(several) * (method.pixels or len(method.places))
    step = csgm_step(build(several, "model=csgm")[0], several)
    ours, theirs = median_pair(
        lambda: pixels / plain_epoch(step, several, size), lambda: one_pixel_loop(paper, some, 1500)
    )
    each = f"{ours:,.0f}/s", f"{theirs:,.0f}/s", f"{ours / theirs:,.0f}", "≥ 1,000"
    table.add_row("pixels of CSGM against the one-pixel loop of Algorithm 1", *each)

    for what, seconds, goal in command_times():
        table.add_row(what, f"{seconds:.2f} s", "", "", goal)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
