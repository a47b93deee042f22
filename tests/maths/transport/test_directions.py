"""Directions: rotations are orthogonal and uniform, slices find the difference, the distance is that of scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import kstest, wasserstein_distance

from genrun.maths.transport import haar, largest_slices, random_directions, sliced_wasserstein


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("rows", "size"), [(1, 1), (1, 2), (5, 5), (3, 7), (40, 40)])
def test_rows_are_orthonormal(rows, size):
    R = haar(4, rows, size, seeded(), torch.float64)
    assert R.shape == (4, rows, size)
    np.testing.assert_allclose(R @ R.mT, np.broadcast_to(np.eye(rows), (4, rows, rows)), atol=1e-12)
    assert torch.equal(R, haar(4, rows, size, seeded(), torch.float64))


@pytest.mark.parametrize(("rows", "size"), [(3, 3), (2, 4)])
def test_rotations_are_uniform(rows, size):
    """Under Haar's measure R and QR are equally distributed: every entry has the marginal of a coordinate of a uniform unit vector,
    and tr R of O(3) has mean 0 and variance 1.
    """
    R = haar(20_000, rows, size, seeded(), torch.float64)
    unit = torch.randn(20_000, size, generator=seeded(1), dtype=torch.float64)
    unit /= unit.norm(dim=1, keepdim=True)
    for i in range(rows):
        for j in range(size):
            assert kstest(R[:, i, j].numpy(), unit[:, 0].numpy()).pvalue > 1e-4
    turned = R @ haar(1, size, size, seeded(2), torch.float64)[0]
    for a, b in ((R, turned), (R[:, 0, 0] * R[:, 1, 1], turned[:, 0, 0] * turned[:, 1, 1])):
        assert kstest(a.flatten()[:20_000].numpy(), b.flatten()[:20_000].numpy()).pvalue > 1e-4
    if rows == size == 3:
        traces = R.diagonal(dim1=1, dim2=2).sum(1)
        assert abs(traces.mean()) < 0.03 and abs(traces.var() - 1) < 0.05
        assert abs((torch.linalg.det(R) > 0).double().mean() - 0.5) < 0.02


def test_the_largest_slice_is_the_direction_in_which_two_gaussians_differ():
    x = torch.randn(20, 3000, generator=seeded())
    y = torch.randn(20, 2000, generator=seeded(1))
    w = torch.randn(20, generator=seeded(2))
    w /= w.norm()
    y = y + 3 * w[:, None] * torch.randn(2000, generator=seeded(3))  # ten times the variance along w
    W = largest_slices(x, y, 3, generator=seeded(4))
    np.testing.assert_allclose(W @ W.T, np.eye(3), atol=1e-5)
    assert (W @ w).abs().max() > 0.98


def test_directions_have_length_1():
    W = random_directions(10, 3, seeded())
    assert W.shape == (10, 3)
    np.testing.assert_allclose(W.norm(dim=1), 1, atol=1e-6)


def test_the_sliced_distance_is_that_of_sorted_values():
    x, y = (
        torch.randn(3, 400, generator=seeded(), dtype=torch.float64),
        torch.rand(3, 400, generator=seeded(1)).double(),
    )
    W = haar(1, 3, 3, seeded(2), torch.float64)[0]
    squares = [np.mean((np.sort(a) - np.sort(b)) ** 2) for a, b in zip((W @ x).numpy(), (W @ y).numpy(), strict=True)]
    assert sliced_wasserstein(x, y, W).item() == pytest.approx(np.sqrt(np.mean(squares)))
    # shifted sets of different sizes: the distance is the shift, as scipy's W₁ says too
    one, shifted = torch.sort(x[:1]).values, torch.sort(x[:1, ::2]).values + 100
    e = torch.ones(1, 1, dtype=torch.float64)
    expected = wasserstein_distance(one[0].numpy(), shifted[0].numpy())
    assert sliced_wasserstein(one, shifted, e).item() == pytest.approx(expected, rel=1e-3)
