"""Trainings by genrun itself: whole runs with short epochs, in this process or in one of their own."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig
from pytorch_lightning import Callback
from rich.console import Console

from genrun.config.compose import compose
from genrun.data.images import Stored
from genrun.data.sources import mnist
from genrun.methods.method import Method
from genrun.parts import build_method
from genrun.run import run
from genrun.runs.folder import RunFolder
from scripts.bench.measuring import MNIST, WORDS, done

CONFIG = Path(__file__).parent / "conf"  # data=synthetic, model=tiny
SHORT = ("evaluation=none", "callbacks=none", "run.figures=false", "run.resume=never", "sample.n=10")
ONE_EPOCH = ("trainer.max_epochs=1",)
# what makes a run short without changing its training: a prior or a constant that is quick, no images that are drawn again
QUICK_PRIOR = ("model/prior=gaussian",)
QUICK_CONSTANT = ("model.ais_chains=2", "model.ais_temperatures=10")  # log Z of an RBM
UNCHECKED = ("model.filter_sources=false", "model.latent_check=false", "model.image_check=false")


def phases_of_regene(outline: int) -> tuple[str, ...]:
    """Return words for a training of ReGene with so many epochs of the decoder's first phase, and one of each other."""
    epochs = {"classifier": 1, "decoder_outline": outline, "decoder_pixels": 1}
    return tuple(f"model.phases.{phase}.max_epochs={count}" for phase, count in epochs.items())


class Epoch(NamedTuple):
    """An epoch of a training."""

    phase: str
    images: int
    seconds: float  # with all the work at its end, such as the checkpoint


class Trained(NamedTuple):
    """A run that was trained in this process."""

    epochs: list[Epoch]
    first_step: float  # processor time of this process until the first step, s
    folder: RunFolder

    def rate(self, phase: str = "") -> float:
        """Return the images a second in all epochs of a phase but the first, which also warms up; or in the only one."""
        own = [epoch for epoch in self.epochs if epoch.phase == phase]
        counted = own[1:] or own
        return sum(epoch.images for epoch in counted) / sum(epoch.seconds for epoch in counted)


class Trial(NamedTuple):
    """A training in a process of its own."""

    first_step: float  # processor time until the first step, s
    rate: float  # see `Trained`
    peak: float  # peak memory, GiB


class EpochClock(Callback):
    """A callback that measures each epoch, from its start until all the work at its end is done."""

    def __init__(self) -> None:
        self.epochs: list[Epoch] = []
        self.first_step: float | None = None  # processor time of this process
        self.started, self.images, self.phase = 0.0, 0, ""

    def on_train_epoch_start(self, trainer: Any, method: Any) -> None:
        self._end()
        self.started, self.phase = time.perf_counter(), method.phase

    def on_train_batch_start(self, trainer: Any, method: Any, batch: Any, batch_idx: int) -> None:
        if self.first_step is None:
            self.first_step = time.process_time()

    def on_train_batch_end(self, trainer: Any, method: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.images += len(batch.image)

    def on_train_end(self, trainer: Any, method: Any) -> None:
        self._end()

    def _end(self) -> None:
        if self.images:
            self.epochs.append(Epoch(self.phase, self.images, time.perf_counter() - self.started))
            self.images = 0


def mnist_images() -> Stored:
    """Return MNIST's training images."""
    return mnist(root=str(MNIST)).train


def train(words: Sequence[str], *callbacks: Callback, outputs: Path | None = None) -> Trained:
    """Do a run of genrun with as many threads as torch has here.

    Args:
        words: of its configuration.
        outputs: where its folder stays; None: it is deleted.
    """
    with tempfile.TemporaryDirectory() as scratch:
        threads = f"hardware.threads={torch.get_num_threads()}"  # the other side of a comparison has as many
        every = [*SHORT, *WORDS, threads, f"paths.outputs={outputs or scratch}", *words]
        clock = EpochClock()
        console = Console(quiet=True)
        folder = run(compose(every, str(CONFIG)), every, console, callbacks=[clock, *callbacks], shows=False)
    return Trained(clock.epochs, clock.first_step, folder)


def rate_of(words: Sequence[str], phase: str = "") -> float:
    """Return the images a second of genrun's training in a phase."""
    return train(words).rate(phase)


def trial(words: Sequence[str]) -> Trial:
    """Train in a process of its own."""
    return Trial(**json.loads(done([sys.executable, "-m", "scripts.bench.trial", *words]).splitlines()[-1]))


def build(words: Sequence[str], images: int = 60000) -> tuple[Method, DictConfig]:
    """Build a method for MNIST as its YAML and some words describe it; return it with its configuration."""
    cfg = compose([*words], str(CONFIG))
    facts = {"image_shape": [1, 28, 28], "num_classes": 10, "class_names": [], "train_size": images, "checksum": ""}
    cfg.data.facts = facts
    return build_method(cfg), cfg
