"""Bench of NOTA's steps: against the loop over axes that one would write with numpy, and how the cost grows.

python scripts/bench_nota.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from genrun.maths.transport import Linear, Monotone, Polynomial

PAIRS = 7
SIZE, PARTICLES, DEGREE = 784, 1000, 6
MANY = 60_000
SHAPE = (1, 28, 28)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--pairs", type=int, default=PAIRS, help="pairs of measurements; the median of their ratios is shown"
    )
    parser.add_argument("--most", type=int, default=300_000, help="largest number of particles in the table of costs")
    options = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(SIZE, PARTICLES, generator=generator)
    data = torch.rand(SIZE, PARTICLES, generator=generator) ** 2
    print(f"{torch.get_num_threads()} threads; median of {options.pairs} pairs")

    layer = Linear(steps=10**6, map=Polynomial(DEGREE))
    compare(
        f"the maps of {SIZE} axes, {PARTICLES:,} particles, degree {DEGREE}",
        lambda: layer.change_by_maps_(x.clone(), layer.fit_maps(x, data), "clamp"),
        lambda: polynomials_by_loop(x.double().numpy(), data.double().numpy()),
        options.pairs,
    )
    compare(
        "a step with its rotation",
        lambda: layer.fit_step(x.clone(), data, (SIZE, 1, 1), 0, 0, "clamp"),
        lambda: step_by_loop(x.double().numpy(), data.double().numpy()),
        options.pairs,
    )
    many, targets = torch.randn(8, MANY, generator=generator), torch.rand(8, MANY, generator=generator)
    monotone = Monotone()
    compare(
        f"the monotone map of a slice of {MANY:,} particles (8 at a time, as many as a step maps)",
        lambda: monotone(monotone.fit(many, targets), many),
        lambda: [np.interp(a, np.sort(a), np.sort(b)) for a, b in zip(many.numpy(), targets.numpy(), strict=True)],
        options.pairs,
    )
    print("\nparticles   slices   s a step   µs a slice and 1,000 particles")
    counts = [count for count in (1000, 10_000, 100_000, 300_000) if count <= options.most]
    for particles, slices in [(count, 64) for count in counts] + [(10_000, count) for count in (16, 256, 784)]:
        points = torch.randn(SIZE, particles, generator=generator)
        images = torch.rand(SIZE, min(particles, 60_000), generator=generator)
        seconds = time_of(lambda: Linear(slices=slices).fit_step(points, images, SHAPE, 0, 0, "linear"))  # noqa: B023
        print(f"{particles:9,} {slices:8} {seconds:10.3f} {1e9 * seconds / (particles * slices):12.0f}")


def polynomials_by_loop(y: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Map each axis by numpy's polyfit of the sorted values."""
    return np.stack(
        [np.polyval(np.polyfit(np.sort(a), np.sort(b), DEGREE), a) for a, b in zip(y, targets, strict=True)]
    )


def step_by_loop(x: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Draw a rotation by the QR decomposition of a Gaussian matrix, map each axis, and turn back."""
    Q, R = np.linalg.qr(np.random.default_rng(0).standard_normal((len(x), len(x))))
    Q *= np.sign(np.diag(R))
    return Q.T @ polynomials_by_loop(Q @ x, Q @ data)


def compare(what: str, ours: Callable[[], object], theirs: Callable[[], object], pairs: int) -> None:
    """Time both in turn, and print the median of the ratios."""
    times = [(time_of(ours), time_of(theirs)) for _ in range(pairs + 1)][1:]  # the first pair warms up
    ratio = statistics.median(other / own for own, other in times)
    own, other = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"{what}: {1e3 * own:.1f} ms, numpy {1e3 * other:.1f} ms: {ratio:.1f} times")


def time_of(work: Callable[[], object]) -> float:
    time.sleep(0.1)  # the threads of the other side's matrix products go on spinning for a while
    work()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
