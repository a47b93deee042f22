"""Judging: what `genrun evaluate` takes, and its distances against torchmetrics and scipy."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from genrun.evaluation.features import RandomConvolutions, Space
from genrun.evaluation.metrics.frechet import frechet_distance, moments
from genrun.evaluation.metrics.kernel import kernel_distance
from genrun.evaluation.metrics.neighbours import ENTRIES, nearest
from scripts.bench.effort import Effort
from scripts.bench.measuring import GENRUN, WORDS, done, peak_memory, seconds_in_turn, seconds_of
from scripts.bench.rows import Row, cost
from scripts.bench.trainings import mnist_source

JUDGED = 10000
WITHOUT = ("evaluation.train_on_generated=0", "evaluation.inception=null")


class PassThrough(nn.Module):
    """Gives torchmetrics features that are already computed."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def rows(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this subject."""
    source = mnist_source()
    if not effort.important:
        yield from whole(source.train.array, source.train.labels, effort)
    train, test = source.train.array, source.test.array
    n = effort.count(JUDGED, 200)
    space = Space("random", RandomConvolutions((1, 28, 28)), torch.device("cpu"))
    samples, real, training = space(train[:n]), space(test[:n]), space(train[n : 6 * n])
    d = space.num_features

    def row(name: str, ours: Callable[[], object], other: Callable[[], object], note: str) -> Row:
        return cost(name, *seconds_in_turn(ours, other, effort.pairs), note=note)

    def frechet() -> float:
        return frechet_distance(moments(samples), moments(real))

    fid = FrechetInceptionDistance(feature=PassThrough(d))
    yield row(
        f"Fréchet distance from {d} features, against torchmetrics' FID",
        frechet,
        lambda: by_torchmetrics(fid, real, samples),
        f"{n:,} of each",
    )
    if effort.important:
        return
    yield row(
        f"Fréchet distance from {d} features, against scipy's matrix square root",
        frechet,
        lambda: by_scipy(real, samples),
        f"{n:,} of each",
    )
    size, draws = min(1000, n), 20
    kid = KernelInceptionDistance(feature=PassThrough(d), subsets=draws, subset_size=size)
    yield row(
        "kernel distance, against torchmetrics' KID",
        lambda: kernel_distance(samples, real, draws=draws, size=size, generator=torch.Generator().manual_seed(0)),
        lambda: by_torchmetrics(kid, real, samples),
        f"{draws} draws of {size:,}",
    )
    few = samples[:2000]
    yield row(
        "nearest training images, against scipy's cdist",
        lambda: nearest(few, training),
        lambda: nearest_by_scipy(few, training),
        f"of {len(few):,} among {len(training):,}",
    )


def whole(images: Tensor, labels: Tensor, effort: Effort) -> Iterator[Row]:
    """Measure `genrun evaluate` of MNIST images with a filled cache: seconds, and peak memory in GiB."""
    n = effort.count(JUDGED, 500)
    name, note = "genrun evaluate of MNIST images, without training on them", f"{n:,} images"
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "samples.npz"
        np.savez(file, images=images[:n].permute(0, 2, 3, 1).numpy(), labels=labels[:n].numpy())
        command = [*GENRUN, "evaluate", str(file), "data=mnist", *WITHOUT, *WORDS]
        done(command)  # fills the cache
        yield Row(name, seconds_of(lambda: done(command)), goal=60, note=note)
        yield Row("genrun evaluate, peak memory", peak_memory(command), unit="GiB", goal=4, note=note)


def by_torchmetrics(metric: nn.Module, real: Tensor, samples: Tensor) -> None:
    """Compute a metric of torchmetrics."""
    metric.reset()
    metric.update(real, real=True)
    metric.update(samples, real=False)
    metric.compute()


def by_scipy(real: Tensor, samples: Tensor) -> float:
    """Return the Fréchet distance, computed with scipy's matrix square root."""
    (one, a), (other, b) = ((x.mean(0), np.cov(x.T)) for x in (real.double().numpy(), samples.double().numpy()))
    return float(((one - other) ** 2).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real))


def nearest_by_scipy(queries: Tensor, points: Tensor) -> None:
    """Find the nearest point of each query with scipy, in blocks."""
    among = points.double().numpy()
    for block in queries.double().split(max(1, ENTRIES // len(points))):
        cdist(block.numpy(), among).argmin(1)
