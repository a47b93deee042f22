"""The kernel distance against torchmetrics and pairs one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.metrics import PassThrough, drawn, seeded
from torchmetrics.image.kid import KernelInceptionDistance

from genrun.evaluation.metrics.kernel import kernel_distance

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning:torchmetrics"
)  # that it keeps features, which is what is wanted


def by_double_loop(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimate, a pair at a time."""
    m, d = x.shape

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return (a @ b / d + 1) ** 3

    pairs = [(i, j) for i in range(m) for j in range(m)]
    within = sum(k(x[i], x[j]) + k(y[i], y[j]) for i, j in pairs if i != j)
    return within / (m * (m - 1)) - 2 * sum(k(x[i], y[j]) for i, j in pairs) / m**2


def test_the_kernel_distance_agrees_with_torchmetrics_and_with_pairs_one_by_one():
    one, other = drawn(40, 8, 1), drawn(40, 8, 2)
    # all images are in every subset, so chance changes nothing
    ours, deviation = kernel_distance(one, other, draws=3, size=40, generator=seeded())
    metric = KernelInceptionDistance(feature=PassThrough(8), subsets=3, subset_size=40)
    for features, real in ((other, True), (one, False)):
        metric.update(features, real=real)
    assert ours == pytest.approx(metric.compute()[0].item(), rel=1e-9)
    assert ours == pytest.approx(by_double_loop(one.numpy(), other.numpy()), rel=1e-9)
    assert deviation < 1e-9 * ours


def test_subsets_of_the_kernel_distance_are_no_larger_than_the_fewer_images():
    one, other = drawn(60, 8, 1), drawn(25, 8, 2)
    smaller = [kernel_distance(one, other, draws=4, size=size, generator=seeded()) for size in (25, 1000)]
    assert smaller[0] == smaller[1]
    assert smaller[0][1] > 0  # of the 60 others are drawn each time


def test_the_deviation_of_the_kernel_distance_is_that_of_its_draws():
    one, other = drawn(300, 8, 1), drawn(300, 8, 2)
    mean, deviation = kernel_distance(one, other, draws=5, size=50, generator=seeded(3))
    generator, values = seeded(3), []
    for _ in range(5):
        x, y = (features[torch.randperm(300, generator=generator)[:50]].numpy() for features in (one, other))
        values.append(by_double_loop(x, y))
    np.testing.assert_allclose([mean, deviation], [np.mean(values), np.std(values, ddof=1)], rtol=1e-9)


def test_the_kernel_distance_is_unbiased():
    generator = seeded()
    values = np.array(
        [
            kernel_distance(*torch.randn(2, 8, 4, generator=generator), draws=3, generator=generator)[0]
            for _ in range(3000)
        ]
    )
    error = values.std(ddof=1) / len(values) ** 0.5
    assert abs(values.mean()) < 3 * error
    assert values.min() < 0 < values.max()
    # the diagonal would add k(x, x)/m of both kinds: far more than the error
    assert error < 0.1


def test_the_kernel_distance_refuses_too_few_draws_and_images():
    features = drawn(10, 4)
    with pytest.raises(ValueError, match="at least 3 draws, got 2"):
        kernel_distance(features, features, draws=2, generator=seeded())
    for one, other in ((features, features[:1]), (features[:1], features)):
        with pytest.raises(ValueError, match="at least 2 images of each kind, got 1"):
            kernel_distance(one, other, generator=seeded())
