"""Measure what judging costs, against torchmetrics and scipy in the same run (part of `make bench`).

Needs MNIST in $GENRUN_DATA.

1. Seconds and memory of `genrun evaluate` for 10,000 MNIST images with a filled cache: every metric but train-on-generated.
2. The Fréchet distance from features, against torchmetrics and against scipy's matrix square root.
3. The kernel distance, against torchmetrics with the same number and size of subsets.
4. The nearest training images, against scipy's distances of all pairs in the same blocks.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from bench import ROOT, median_pair
from rich.console import Console
from rich.table import Table
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from genrun.data.sources import mnist
from genrun.evaluation.features import RandomConvolutions, Space
from genrun.evaluation.metrics.frechet import frechet_distance, moments
from genrun.evaluation.metrics.kernel import kernel_distance
from genrun.evaluation.metrics.neighbours import ENTRIES, nearest


class PassThrough(nn.Module):
    """Gives torchmetrics features that are already computed."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def seconds(work: Callable[[], object]) -> float:
    """Return the seconds that some work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def whole_evaluation(images: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return the seconds and the peak memory in GiB of `genrun evaluate` when it runs a second time."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "samples.npz"
        np.savez(file, images=images, labels=labels)
        words = ["evaluate", str(file), "data=mnist", "evaluation.train_on_generated=0", "evaluation.inception=null"]
        command = [sys.executable, "-m", "genrun", *words]
        environment = os.environ | {"GENRUN_DATA": str(ROOT)}
        subprocess.run(command, check=True, capture_output=True, env=environment)
        code = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, capture_output=True); "
        code += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", code, *command], check=True, capture_output=True, text=True, env=environment
        )
        return time.perf_counter() - started, int(done.stdout) / 2**20


def with_torchmetrics(metric: nn.Module, real: Tensor, samples: Tensor) -> None:
    """Compute a metric of torchmetrics."""
    metric.reset()
    metric.update(real, real=True)
    metric.update(samples, real=False)
    metric.compute()


def with_scipy(real: Tensor, samples: Tensor) -> float:
    """Return the Fréchet distance, computed with scipy's matrix square root."""
    (one, a), (other, b) = ((x.mean(0), np.cov(x.T)) for x in (real.double().numpy(), samples.double().numpy()))
    return float(((one - other) ** 2).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real))


def nearest_with_scipy(queries: Tensor, points: Tensor) -> None:
    """Find the nearest point of each query with scipy, in blocks."""
    for block in queries.double().split(ENTRIES // len(points)):
        cdist(block.numpy(), points.double().numpy()).argmin(1)


def main() -> None:
    warnings.simplefilter("ignore")
    if not (ROOT / "MNIST" / "raw").is_dir():
        sys.exit(f"bench: MNIST is not in {ROOT}; set GENRUN_DATA to the folder that holds MNIST/raw")
    source = mnist(root=str(ROOT))
    train, test = source.train.array, source.test.array
    space = Space("random", RandomConvolutions((1, 28, 28)), torch.device("cpu"))
    samples, real, training = space(train[:10000]), space(test), space(train[10000:])
    d = space.num_features
    table = Table("measured in this run", "genrun", "other", "ratio", "goal", box=None, pad_edge=False)

    taken, memory = whole_evaluation(train[:10000].permute(0, 2, 3, 1).numpy(), source.train.labels[:10000].numpy())
    table.add_row(
        "genrun evaluate of 10,000 MNIST images, without training on them", f"{taken:.1f} s", "", "", "≤ 60 s"
    )
    table.add_row("   its peak memory", f"{memory:.2f} GiB", "", "", "< 4 GiB")

    def row(what: str, ours: Callable[[], object], theirs: Callable[[], object], goal: str = "") -> None:
        one, other = median_pair(lambda: seconds(ours), lambda: seconds(theirs))
        table.add_row(what, f"{one:.3f} s", f"{other:.3f} s", f"{one / other:.2f}", goal)

    def frechet() -> float:
        return frechet_distance(moments(samples), moments(real))

    fid = FrechetInceptionDistance(feature=PassThrough(d))
    row(
        f"Fréchet distance, {d} features, against torchmetrics",
        frechet,
        lambda: with_torchmetrics(fid, real, samples),
        "< 1 s",
    )
    row("   against scipy's matrix square root", frechet, lambda: with_scipy(real, samples))
    kid = KernelInceptionDistance(feature=PassThrough(d), subsets=20, subset_size=1000)
    row(
        "kernel distance, 20 draws of 1,000, against torchmetrics",
        lambda: kernel_distance(samples, real, draws=20, size=1000, generator=torch.Generator().manual_seed(0)),
        lambda: with_torchmetrics(kid, real, samples),
    )
    few = samples[:2000]
    row(
        f"nearest of {len(training):,} training images, of 2,000, against scipy's cdist",
        lambda: nearest(few, training),
        lambda: nearest_with_scipy(few, training),
    )
    Console(width=120).print(table)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    Console().print(f"peak memory of this benchmark: {peak:.2f} GiB", highlight=False)


if __name__ == "__main__":
    main()
