"""The spread of what real images get is that of new draws of real images."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.metrics import seeded

from genrun.evaluation.rows.comparison import CELLS, TO_TEST, Comparison
from genrun.evaluation.spread import deviation, of_share, parts_of, resampled


def test_parts_are_disjoint_and_as_large_as_there_are_images():
    images = torch.arange(23)
    assert [part.tolist() for part in parts_of(images, 3)] == [
        [0, 1, 2],
        [3, 4, 5],
        [6, 7, 8],
        [9, 10, 11],
        [12, 13, 14],
    ]
    assert {len(part) for part in parts_of(images, 100)} == {4}
    assert torch.cat(parts_of(images, 100)).unique().numel() == 20


def test_a_resampled_mean_has_the_deviation_of_a_mean():
    values = torch.randn(3000, generator=seeded(1))
    assert resampled(lambda some: values[some].mean().item(), 3000, 400) == pytest.approx(1 / 20, rel=0.4)
    assert math.isnan(resampled(lambda some: None, 3000, 400)) and math.isnan(resampled(lambda some: 1.0, 0, 400))
    draws = (torch.rand(4000, 400, generator=seeded(2)) < 0.9).double().mean(1)
    assert of_share(0.9, 400) == pytest.approx(draws.std().item(), rel=0.1)
    assert (
        deviation([1.0, None]) is None and deviation([1.0]) is None and deviation([1.0, 3.0]) == pytest.approx(2**0.5)
    )


@pytest.mark.parametrize("n", [200, 1000])  # disjoint draws, and more than a fifth of the training images
def test_the_spread_of_a_comparison_is_that_of_new_real_images(n):
    comparison = Comparison(3, 3, 100, False, 0)
    test, train = torch.randn(300, 4, generator=seeded(1)), torch.randn(1200, 4, generator=seeded(2))
    said = comparison.spreads(n, test, train)
    fresh = torch.randn(20, n, 4, generator=seeded(3))
    each = [comparison.metrics(samples, test, train, to_train=samples) for samples in fresh]
    for name in (TO_TEST, CELLS, "precision", "recall", "density", "coverage"):
        true = deviation([values[name] for values in each])
        assert 0.25 * true < said[name] < 4 * true, name
