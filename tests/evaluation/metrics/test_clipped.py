"""Clipped density and coverage against the paper's sums over all pairs, and their calibration."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.metrics import seeded
from scipy.spatial.distance import cdist
from scipy.stats import betabinom

from genrun.evaluation.metrics.clipped import expected_coverage
from genrun.evaluation.metrics.neighbours import Neighbours, manifold, nearest


def by_all_pairs(samples: np.ndarray, real: np.ndarray, k: int) -> tuple[float, float]:
    """Both metrics as the paper writes them, in 64 bits."""
    within, between = cdist(real, real), cdist(samples, real)
    radii = np.sort(within, axis=1)[:, k]
    narrow = np.minimum(radii, np.median(radii))
    np.fill_diagonal(within, np.inf)
    real_score = np.minimum((within <= narrow[:, None]).sum(0) / k, 1).mean()  # how many balls hold each real image
    density = min(np.minimum((between <= narrow).sum(1) / k, 1).mean() / real_score, 1)
    covered = np.minimum((between <= radii).sum(0) / k, 1).mean()
    least = next((g for g in range(len(samples) + 1) if expectation(len(real), g, k) >= covered), len(samples))
    return density, least / len(samples)


def expectation(n: int, g: int, k: int) -> float:
    """E[min(J, k)] / k of the beta-binomial J, term by term."""
    counts = np.arange(g + 1)
    return float((betabinom(g, k, n - k).pmf(counts) * np.minimum(counts, k)).sum() / k)


@pytest.mark.parametrize(("m", "n", "k"), [(150, 150, 5), (90, 160, 3)])
@pytest.mark.parametrize(("scale", "shift"), [(0.8, 0.4), (1.0, 0.0), (1.5, 1.0)])
def test_both_agree_with_the_sums_over_all_pairs(m, n, k, scale, shift):
    real = torch.randn(n, 6, generator=seeded(1))
    samples = torch.randn(m, 6, generator=seeded(2)) * scale + shift
    ours = manifold(samples, real, k)
    density, coverage = by_all_pairs(samples.double().numpy(), real.double().numpy(), k)
    assert ours.clipped_density == pytest.approx(density, abs=1e-9)
    assert coverage - 1 / m - 1e-9 <= ours.clipped_coverage <= coverage + 1e-9  # the sum counts whole samples


@pytest.mark.parametrize(("n", "m", "k"), [(40, 60, 5), (300, 20, 1)])
def test_the_expected_coverage_is_that_of_the_beta_binomial(n, m, k):
    found = expected_coverage(n, m, k)
    np.testing.assert_allclose(found, [expectation(n, g, k) for g in range(m + 1)], atol=1e-10)
    assert (np.diff(found) > 0).all()
    with pytest.raises(ValueError, match="more than 5 real images, got 5"):
        expected_coverage(5, 10, 5)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_both_are_the_share_of_good_samples(share):
    real, samples = torch.randn(2, 1200, 8, generator=seeded(3))
    samples[: round(1200 * (1 - share))] += 1000
    found = manifold(samples, real)
    assert found.clipped_density == pytest.approx(share, abs=0.04)
    assert found.clipped_coverage == pytest.approx(share, abs=0.06)


def test_an_outlier_among_real_images_does_not_hold_bad_samples():
    real, samples = torch.randn(600, 4, generator=seeded(1)), torch.randn(600, 4, generator=seeded(2))
    real[:10] *= 30
    samples[:300] = 20 * torch.nn.functional.normalize(
        samples[:300], dim=1
    )  # far off, but in the balls of the outliers
    found = manifold(samples, real)
    assert found.density > 0.75 and found.clipped_density == pytest.approx(0.5, abs=0.06)


def test_known_neighbours_change_nothing():
    real, samples = torch.randn(2, 200, 3, generator=seeded(4))
    known = [Neighbours(*nearest(one, one, 7, same=True)) for one in (samples, real)]
    assert manifold(samples, real, 5, *known) == manifold(samples, real, 5)
