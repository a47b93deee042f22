"""Fréchet distances against torchmetrics, scipy and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.metrics import PassThrough, drawn, seeded
from scipy.linalg import sqrtm
from torch import Tensor
from torchmetrics.image.fid import FrechetInceptionDistance

from genrun.evaluation.metrics import frechet
from genrun.evaluation.metrics.frechet import Moments, frechet_at_infinity, frechet_distance, moments

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning:torchmetrics"
)  # that it keeps features, which is what is wanted


def by_torchmetrics(one: Tensor, other: Tensor) -> float:
    metric = FrechetInceptionDistance(feature=PassThrough(one.shape[1]))
    for features, real in ((one, True), (other, False)):
        metric.update(features, real=real)
    return metric.compute().item()


def by_sqrtm(one: np.ndarray, other: np.ndarray) -> float:
    """The formula of the paper as it stands there, with the root of a matrix that is not symmetric."""
    first, second = np.cov(one.T), np.cov(other.T)
    root = sqrtm(first @ second).real
    return ((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(first + second - 2 * root)


def gaussian(mean: Tensor, covariance: Tensor) -> Moments:
    return Moments(1000, mean.double(), covariance.double())


def test_moments_are_numpys_whatever_the_block(monkeypatch):
    features = drawn(1000, 6)
    for block in (4096, 333, 1):
        monkeypatch.setattr(frechet, "BLOCK", block)
        count, mean, covariance = moments(features)
        assert count == 1000
        np.testing.assert_allclose(mean, features.numpy().mean(0), rtol=1e-12)
        np.testing.assert_allclose(covariance, np.cov(features.numpy().T), rtol=1e-12)


def test_the_frechet_distance_agrees_with_torchmetrics_and_scipy():
    one, other = drawn(700, 32, 1), drawn(500, 32, 2)
    ours = frechet_distance(moments(one), moments(other))
    assert ours == pytest.approx(by_torchmetrics(one, other), rel=1e-6)
    assert ours == pytest.approx(by_sqrtm(one.numpy(), other.numpy()), rel=1e-6)


def test_the_frechet_distance_of_gaussians_is_the_closed_form():
    means = torch.tensor([[0.0, 1.0, -2.0], [3.0, 1.0, 0.5]])
    deviations = torch.tensor([[1.0, 0.2, 4.0], [2.0, 0.7, 0.1]])
    truth = ((means[0] - means[1]).square().sum() + (deviations[0] - deviations[1]).square().sum()).item()
    one, other = (gaussian(mean, torch.diag(scale**2)) for mean, scale in zip(means, deviations, strict=True))
    assert frechet_distance(one, other) == pytest.approx(truth, rel=1e-6)
    # the same, seen from other axes: the covariances are not diagonal any more
    turn = torch.linalg.qr(torch.randn(3, 3, generator=seeded(), dtype=torch.float64))[0]
    one, other = (gaussian(turn @ mean, turn @ covariance @ turn.T) for _, mean, covariance in (one, other))
    assert frechet_distance(one, other) == pytest.approx(truth, rel=1e-6)
    noise = torch.randn(2, 50_000, 3, generator=seeded())
    one, other = (moments(mean + scale * draw) for mean, scale, draw in zip(means, deviations, noise, strict=True))
    assert frechet_distance(one, other) == pytest.approx(truth, rel=0.02)


def test_the_frechet_distance_is_symmetric_and_zero_only_for_equal_moments():
    one, other = moments(drawn(200, 16, 1)), moments(drawn(300, 16, 2))
    assert frechet_distance(one, other) == pytest.approx(frechet_distance(other, one), rel=1e-9)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-6)
    wider = one._replace(covariance=one.covariance * 1.21)  # deviations are 10 % larger: a hundredth of the trace
    assert frechet_distance(one, wider) == pytest.approx(0.01 * one.covariance.trace().item(), rel=1e-6)
    shifted = one._replace(mean=one.mean + 0.01)
    assert frechet_distance(one, shifted) == pytest.approx(16 * 0.01**2, rel=1e-3)


def test_a_large_mean_costs_no_digits_in_32_bits():
    # multiples of 1/1024 below 2048 are exact in 32 bits, with or without 1000 added: the truth is the same for both
    one, other = ((drawn(400, 8, seed) * 64).round().clamp(-30_000, 30_000) / 1024 for seed in (1, 2))
    truth = by_sqrtm(one.numpy(), other.numpy())
    far = [moments((features + 1000).float()) for features in (one, other)]
    assert frechet_distance(*far) == pytest.approx(truth, rel=1e-9)


def test_a_singular_covariance_gives_a_finite_number():
    flat = drawn(300, 12, 1)
    flat[:, 8:] = 5.0  # four features that never change
    flat[:, 7] = flat[:, 6]  # and two that are the same
    flat, full = moments(flat), moments(drawn(300, 12, 2))
    assert torch.linalg.matrix_rank(flat.covariance) == 7
    assert frechet_distance(flat, flat) == pytest.approx(0, abs=1e-4)
    assert 0 < frechet_distance(flat, full) == pytest.approx(frechet_distance(full, flat), rel=1e-6)
    # a point mass: nothing overlaps, the whole trace counts
    point = gaussian(torch.zeros(12), torch.zeros(12, 12))
    truth = (full.mean.square().sum() + full.covariance.trace()).item()
    assert frechet_distance(point, full) == pytest.approx(truth, rel=1e-9)


@pytest.mark.parametrize("n", [5, 16])
def test_as_few_images_as_features_have_no_frechet_distance(n):
    with pytest.raises(ValueError, match=rf"\b16 features, got {n}$"):
        moments(drawn(n, 16))
    moments(drawn(17, 16))


def test_at_infinity_the_bias_of_few_images_is_taken_out():
    d, shift = 16, 0.25
    reference = gaussian(torch.zeros(d), torch.eye(d))
    truth = d * shift**2
    plain, extrapolated = [], []
    for seed in range(5):
        features = torch.randn(300, d, generator=seeded(seed)) + shift
        plain.append(frechet_distance(moments(features), reference))
        extrapolated.append(frechet_at_infinity(features, reference, generator=seeded(seed)))
    assert np.mean(plain) > truth  # few images make it larger
    assert abs(np.mean(extrapolated) - truth) < abs(np.mean(plain) - truth) / 3
    one, other = (frechet_at_infinity(features, reference, generator=seeded(7)) for _ in range(2))
    assert one == other


def test_at_infinity_the_line_is_followed_to_its_end(monkeypatch):
    sizes = []

    def distance(ours: Moments, _: None) -> float:
        sizes.append(ours.count)
        return 2 + 30 / ours.count

    monkeypatch.setattr(frechet, "frechet_distance", distance)
    found = frechet_at_infinity(drawn(100, 3), None, generator=seeded(), points=6)
    assert found == pytest.approx(2, rel=1e-9)
    assert sizes == [50, 60, 70, 80, 90, 100]


def test_at_infinity_half_of_the_images_must_do():
    reference = moments(drawn(100, 16))
    with pytest.raises(ValueError, match="16 features, got 16"):
        frechet_at_infinity(drawn(32, 16), reference, generator=seeded())
