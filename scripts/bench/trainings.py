"""Trainings by genrun itself, in this process: whole runs with short epochs."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from omegaconf import DictConfig
from pytorch_lightning import Callback
from rich.console import Console

from genrun.config.compose import compose
from genrun.data.images import Source
from genrun.data.sources import mnist
from genrun.methods.method import Method
from genrun.parts import build_method
from genrun.run import run
from scripts.bench.epochs import EpochClock, Trained
from scripts.bench.measuring import MNIST, WORDS

CONFIG = Path(__file__).parent / "conf"  # data=synthetic, model=tiny
SHORT = ("evaluation=none", "callbacks=none", "run.figures=false", "run.resume=never", "sample.n=10")
ONE_EPOCH = ("trainer.max_epochs=1",)
EPOCHS = ("trainer.max_epochs=3", "trainer.limit_val_batches=0")  # the first also warms up
LEAST = 256  # images of an epoch
# what makes a run short without changing its training: a prior that is quick, no images that are drawn again
QUICK_PRIOR = ("model/prior=gaussian",)
UNCHECKED = ("model.filter_sources=false", "model.latent_check=false", "model.image_check=false")


def phases_of_regene(outline: int) -> tuple[str, ...]:
    """Return words for a training of ReGene with so many epochs of the decoder's first phase, and one of each other."""
    epochs = {"classifier": 1, "decoder_outline": outline, "decoder_pixels": 1}
    return tuple(f"model.phases.{phase}.max_epochs={count}" for phase, count in epochs.items())


def mnist_source() -> Source:
    """Read MNIST."""
    return mnist(root=str(MNIST))


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


def build(words: Sequence[str], images: int = 60000) -> tuple[Method, DictConfig]:
    """Build a method for MNIST as its YAML and some words describe it; return it with its configuration."""
    cfg = compose([*words], str(CONFIG))
    facts = {"image_shape": [1, 28, 28], "num_classes": 10, "class_names": [], "train_size": images, "checksum": ""}
    cfg.data.facts = facts
    return build_method(cfg), cfg
