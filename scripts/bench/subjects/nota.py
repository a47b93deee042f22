"""NOTA's steps, against the loop over axes that one would write with numpy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Generator

from genrun.maths.transport import Linear, Monotone, Polynomial
from scripts.bench.effort import Effort
from scripts.bench.measuring import in_turn, seconds_of
from scripts.bench.rows import Row, cost

SIZE, PARTICLES, DEGREE = 784, 1000, 6
MANY = 60_000
SHAPE = (1, 28, 28)


def rows(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this subject."""
    generator = Generator().manual_seed(0)
    x = torch.randn(SIZE, PARTICLES, generator=generator)
    data = torch.rand(SIZE, PARTICLES, generator=generator) ** 2
    layer = Linear(steps=10**6, map=Polynomial(DEGREE))

    def row(name: str, ours: Callable[[], object], other: Callable[[], object], note: str = "") -> Row:
        return cost(
            name, *in_turn(lambda: rested_seconds(ours), lambda: rested_seconds(other), effort.pairs), note=note
        )

    yield row(
        f"maps of {SIZE} axes, {PARTICLES:,} particles, degree {DEGREE}, against numpy's polyfit axis by axis",
        lambda: layer.change_by_maps_(x.clone(), layer.fit_maps(x, data), "clamp"),
        lambda: polynomials_by_loop(x.double().numpy(), data.double().numpy()),
    )
    yield row(
        "a step with its rotation, against numpy's QR decomposition and polyfit",
        lambda: layer.fit_step(x.clone(), data, (SIZE, 1, 1), 0, 0, "clamp"),
        lambda: step_by_loop(x.double().numpy(), data.double().numpy()),
    )
    n = effort.count(MANY, 1000)
    many, targets = torch.randn(8, n, generator=generator), torch.rand(8, n, generator=generator)
    monotone = Monotone()
    yield row(
        "monotone maps of 8 slices, as many as a step maps at once, against numpy's sort and interp",
        lambda: monotone(monotone.fit(many, targets), many),
        lambda: [np.interp(a, np.sort(a), np.sort(b)) for a, b in zip(many.numpy(), targets.numpy(), strict=True)],
        f"{n:,} particles",
    )


def rested_seconds(work: Callable[[], object]) -> float:
    """Return the seconds of some work, after a rest: the threads of the other side's matrix products go on spinning for a while."""
    time.sleep(0.1)
    work()
    return seconds_of(work)


def step_seconds(particles: int, slices: int) -> float:
    """Return the seconds of a step of so many particles in so many slices."""
    generator = Generator().manual_seed(0)
    points = torch.randn(SIZE, particles, generator=generator)
    images = torch.rand(SIZE, min(particles, MANY), generator=generator)

    def step() -> None:
        Linear(slices=slices).fit_step(points, images, SHAPE, 0, 0, "linear")

    step()
    return seconds_of(step)


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
