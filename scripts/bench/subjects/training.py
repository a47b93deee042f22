"""Training, in images a second, against the plainest torch loop of the same network."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from genrun.data.images import Stored
from genrun.data.loaders import EpochOrder, MemoryLoader
from scripts.bench import plain
from scripts.bench.effort import Effort
from scripts.bench.measuring import MNIST, in_turn
from scripts.bench.plain import Step, by_index, by_loader, epoch_rate, loader_of
from scripts.bench.rows import Row, rate
from scripts.bench.trainings import EPOCHS, LEAST, QUICK_PRIOR, build, mnist_source, rate_of


@dataclass(frozen=True)
class Compared:
    """A method, and the plain step that does the same.

    Args:
        model: its YAML.
        images: of an epoch.
        step: makes the step of the plain loop from the method.
        goal: least ratio.
        words: further ones of the configuration.
        important: whether `--quick` measures it.
    """

    model: str
    images: int
    step: Callable[..., Step]
    goal: float
    words: tuple[str, ...] = ()
    important: bool = False


LOADED = (
    Compared("rbm", 55000, plain.rbm_step, 3, important=True),
    Compared("gan_paper", 20000, plain.gan_step, 2),
    Compared("vae_paper", 20000, plain.gaussian_vae_step, 2, important=True),
    Compared("gan", 2048, plain.gan_step, 1.2),
    Compared("vae", 10240, plain.bernoulli_vae_step, 1.2, QUICK_PRIOR),
    Compared("autoencoder", 10240, plain.autoencoder_step, 1.2, QUICK_PRIOR),
    Compared("ddpm", 1024, plain.ddpm_step, 1.2, important=True),
    Compared("flow_matching", 1024, plain.flow_step, 1.2),
)


def rows(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this subject."""
    train = mnist_source().train
    yield from overhead(train, effort)
    for one in LOADED:
        if not effort.important or one.important:
            yield against_loader(one, train, effort)
    if effort.important:
        return
    yield csgm(train, effort)
    yield nota(effort)
    yield from batches(train, effort)
    yield one_pixel(train, effort)


def against_loader(one: Compared, train: Stored, effort: Effort) -> Row:
    """Compare genrun's training with a loop over a DataLoader."""
    n = effort.count(one.images, LEAST)
    words = [f"model={one.model}", "data=mnist", f"data.limit={n}", *EPOCHS, *one.words]
    twin, cfg = build(words)
    step, size = one.step(twin), cfg.data.batch_size
    loader = loader_of(train.take(torch.arange(n)), size)
    pair = in_turn(lambda: rate_of(words), lambda: epoch_rate(step, by_loader(loader)), effort.pairs)
    return rate(f"model={one.model}, batch {size}, against a plain loop", *pair, goal=one.goal)


def overhead(train: Stored, effort: Effort) -> Iterator[Row]:
    """Compare a small classifier with the fastest loop that one can write, and give what a step costs more."""
    n = effort.count(20000, LEAST)
    words = ["model=tiny", "data=mnist", f"data.limit={n}", *EPOCHS]
    twin, cfg = build(words)
    some, step, size = train.take(torch.arange(n)), plain.classifier_step(twin), cfg.data.batch_size
    ours, other = in_turn(lambda: rate_of(words), lambda: epoch_rate(step, by_index(some, size)), effort.pairs)
    name = f"784–512–256–10, batch {size}, against a loop that cuts batches from one array"
    yield rate(name, ours, other, goal=0.77)
    more = size * (1 / ours - 1 / other) * 1e6
    yield Row("a step of 784–512–256–10, overhead", more, unit="µs", goal=200)


def csgm(train: Stored, effort: Effort) -> Row:
    """Compare CSGM with the fastest loop that does the same mathematics."""
    n = effort.count(20000, LEAST)
    words = ["model=csgm", "data=mnist", f"data.limit={n}", *EPOCHS, *QUICK_PRIOR]
    some = train.take(torch.arange(n))
    twin, cfg = build(words, n)
    step, size = plain.csgm_step(twin, some), cfg.data.batch_size
    pair = in_turn(lambda: rate_of(words), lambda: epoch_rate(step, by_index(some, size)), effort.pairs)
    return rate(f"model=csgm, batch {size}, against a loop that cuts batches from one array", *pair, goal=0.87)


def nota(effort: Effort) -> Row:
    """Measure NOTA, each of whose steps sees all images; a loop with numpy is compared step by step (subject nota)."""
    n = effort.count(20000, 2000)
    words = ["model=nota", "data=mnist", f"data.limit={n}", f"model.particles={n}", *EPOCHS]
    steps = build(words, n)[1].model.steps_per_epoch
    ours = steps * statistics.median(rate_of(words) for _ in range(effort.pairs))
    return Row("model=nota, as many particles as images", ours, unit="images/s", note="images times steps")


def batches(train: Stored, effort: Effort) -> Iterator[Row]:
    """Compare the batches of data in memory with torchvision's data set in a DataLoader."""
    other_data = datasets.MNIST(MNIST, transform=transforms.ToTensor())
    memory = MemoryLoader(train, EpochOrder(len(train), 100, seed=0), torch.device("cpu"))
    for workers in (0, 2):
        other = DataLoader(other_data, 100, shuffle=True, num_workers=workers)
        pair = in_turn(
            lambda: batch_rate(memory, 599),
            lambda other=other: batch_rate(other, effort.count(150, 10)),
            effort.pairs,
        )
        name = f"batches of 100, against torchvision and a DataLoader, {workers} workers"
        yield rate(name, *pair, "batches/s", goal=20)


def batch_rate(loader: MemoryLoader | DataLoader, most: int) -> float:
    """Return the batches a second of at most `most` batches, after the first one, which waits for workers to start."""
    stream = iter(loader)
    next(stream)
    started = time.perf_counter()
    count = sum(1 for _ in zip(range(most), stream, strict=False))
    return count / (time.perf_counter() - started)


def one_pixel(train: Stored, effort: Effort) -> Row:
    """Compare the pixels of genrun's training of CSGM with the one-pixel loop of Algorithm 1."""
    n = effort.count(20000, LEAST)
    words = ["model=csgm", "data=mnist", f"data.limit={n}", *EPOCHS, *QUICK_PRIOR]
    method, paper = build(words, n)[0], build(["model=csgm_paper", "data=mnist"], n)[0]
    pixels = method.pixels or len(method.places)  # that a step visits of an image
    pair = in_turn(
        lambda: pixels * rate_of(words),
        lambda: plain.one_pixel_rate(paper, train, effort.count(1500, 50)),
        effort.pairs,
    )
    return rate("pixels of CSGM, against the one-pixel loop of Algorithm 1", *pair, "pixels/s", goal=1000)
