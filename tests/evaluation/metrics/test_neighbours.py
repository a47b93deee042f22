"""Precision, recall, density, coverage and nearest neighbours against the authors' code, brute force and trees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.metrics import seeded
from prdc import compute_prdc
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from genrun.evaluation.metrics import neighbours
from genrun.evaluation.metrics.neighbours import Manifold, manifold, nearest

# --------------------------------------------------------------------------------- precision, recall, density, coverage


def by_all_pairs(samples: np.ndarray, real: np.ndarray, k: int) -> list[float]:
    """The four sums of the papers over the matrix of all pairs, closed balls."""

    def radii(points: np.ndarray) -> np.ndarray:
        return np.sort(cdist(points, points), axis=1)[:, k]  # the first is the point itself

    between = cdist(samples, real)  # (m, n)
    among_real = between <= radii(real)
    among_samples = between <= radii(samples)[:, None]
    nearest_sample = between.min(0)
    return [
        among_real.any(1).mean(),
        among_samples.any(0).mean(),
        among_real.sum() / (k * len(samples)),
        (nearest_sample <= radii(real)).mean(),
    ]


@pytest.mark.parametrize(("m", "n", "k"), [(600, 600, 5), (300, 700, 5), (700, 300, 1), (2300, 1200, 3)])
def test_the_manifolds_agree_with_the_authors_code_and_with_all_pairs(m, n, k):
    real = torch.randn(n, 6, generator=seeded(1))
    samples = torch.randn(m, 6, generator=seeded(2)) * 0.8 + 0.4
    ours = manifold(samples, real, k)[:4]  # for the clipped ones see test_clipped.py
    theirs = compute_prdc(real.numpy(), samples.numpy(), k)
    np.testing.assert_allclose(ours, [theirs[name] for name in Manifold._fields[:4]], atol=1e-3)
    np.testing.assert_allclose(ours, by_all_pairs(samples.double().numpy(), real.double().numpy(), k), atol=1e-3)
    assert len({round(value, 3) for value in ours}) == 4  # no two are alike by chance


@pytest.mark.parametrize("block", [1, 7, 50, 64])
def test_blocks_change_nothing(monkeypatch, block):
    real, samples = torch.randn(64, 3, generator=seeded(1)), torch.randn(50, 3, generator=seeded(2)) + 0.5
    whole = manifold(samples, real), nearest(samples, real, 4), nearest(real, real, 4, same=True)
    monkeypatch.setattr(neighbours, "ENTRIES", block * 64)
    assert manifold(samples, real) == pytest.approx(whole[0], rel=1e-12)
    for (distances, indices), arguments in (
        (whole[1], {"queries": samples}),
        (whole[2], {"queries": real, "same": True}),
    ):
        again = nearest(points=real, k=4, **arguments)
        assert torch.equal(again[0], distances)
        assert torch.equal(again[1], indices)


@pytest.mark.parametrize("offset", [0, 1000])
def test_a_set_covers_itself(offset):
    real = torch.randn(500, 32, generator=seeded()) + offset
    # each ball holds its centre and its 5 neighbours, the last of them on its rim: balls are closed
    assert manifold(real, real) == pytest.approx((1, 1, 6 / 5, 1, 1, 1))


def test_repeated_images_cover_themselves():
    # 8 of each: the 5th neighbour lies at distance 0, and rounding must not push a copy out of such a ball
    once = torch.randn(50, 64, generator=seeded()).relu() * 5
    often = once.repeat(8, 1)
    assert manifold(often, often) == pytest.approx((1, 1, 8 / 5, 1, 1, 1))
    assert manifold(once.repeat(8, 1), torch.cat([often, often + 100]))[:4] == pytest.approx((1, 0.5, 8 / 5, 0.5))


def test_far_sets_share_nothing():
    real, samples = torch.randn(200, 4, generator=seeded(1)), torch.randn(200, 4, generator=seeded(2)) + 100
    assert manifold(samples, real) == (0, 0, 0, 0, 0, 0)


def test_dropping_one_of_two_modes_halves_recall_and_coverage_only():
    real = torch.randn(1000, 2, generator=seeded(1))
    real[500:] += 100
    samples = torch.randn(1000, 2, generator=seeded(2))
    found = manifold(samples, real)
    assert found.precision > 0.95
    assert found.recall == pytest.approx(0.5, abs=0.02)
    assert found.coverage == pytest.approx(0.5, abs=0.02)
    assert manifold(real, samples).precision == pytest.approx(found.recall, abs=1e-9)  # exchanged


# --------------------------------------------------------------------------------------------------- nearest neighbours


@pytest.mark.parametrize("offset", [0, 1000])
@pytest.mark.parametrize("k", [1, 4])
def test_nearest_agrees_with_a_tree_in_64_bits(k, offset):
    points = torch.randn(1500, 5, generator=seeded(1)) + offset
    queries = torch.randn(1100, 5, generator=seeded(2)) + offset
    distances, indices = nearest(queries, points, k)
    truth, which = cKDTree(points.double().numpy()).query(queries.double().numpy(), list(range(1, k + 1)))
    assert distances.shape == indices.shape == (1100, k)
    assert (distances.dtype, indices.dtype) == (torch.float32, torch.int64)
    np.testing.assert_array_equal(indices, which)
    np.testing.assert_allclose(distances, truth, rtol=1e-5)


def test_nearest_within_one_set_leaves_out_the_point_itself():
    points = torch.randn(1300, 5, generator=seeded())
    distances, indices = nearest(points, points, 3, same=True)
    truth, which = cKDTree(points.double().numpy()).query(points.double().numpy(), 4)
    np.testing.assert_array_equal(indices, which[:, 1:])
    np.testing.assert_allclose(distances, truth[:, 1:], rtol=1e-5)


@pytest.mark.parametrize("offset", [0, 1000])
def test_copies_lie_at_exactly_zero(offset):
    points = torch.randn(1200, 64, generator=seeded()) + offset
    chosen = torch.randperm(1200, generator=seeded(1))[:500]
    for k in (1, 3):
        distances, indices = nearest(points[chosen], points, k)
        assert torch.equal(distances[:, 0], torch.zeros(500))
        assert torch.equal(indices[:, 0], chosen)
        assert (distances[:, 1:] > 0).all()


def test_neighbours_in_small_far_clusters_are_told_apart():
    # |x| is ten thousand times a distance: squares of 32 bits would cancel to noise
    cluster = torch.randn(600, 32, generator=seeded()) * 1e-2
    cluster[300:] += 200
    distances, indices = nearest(cluster, cluster, same=True)
    truth, which = cKDTree(cluster.double().numpy()).query(cluster.double().numpy(), 2)
    np.testing.assert_array_equal(indices[:, 0], which[:, 1])
    np.testing.assert_allclose(distances[:, 0], truth[:, 1], rtol=1e-5)


def test_a_second_copy_is_a_neighbour_of_the_first():
    points = torch.randn(60, 8, generator=seeded())
    points[41] = points[7]
    distances, indices = nearest(points, points, same=True)
    assert indices[7, 0] == 41
    assert indices[41, 0] == 7
    assert torch.equal(distances[:, 0] == 0, torch.isin(torch.arange(60), torch.tensor([7, 41])))


def test_nearest_needs_enough_points():
    points = torch.randn(4, 2, generator=seeded())
    with pytest.raises(ValueError, match="5 nearest neighbours need at least 5 images, got 4"):
        nearest(points, points, 5)
    with pytest.raises(ValueError, match="4 nearest neighbours need at least 5 images, got 4"):
        nearest(points, points, 4, same=True)
    assert nearest(points, points, 4)[1].sort(1).values.tolist() == [[0, 1, 2, 3]] * 4
    assert nearest(points, points, 3, same=True)[0].isfinite().all()
    assert [found.shape for found in nearest(points[:0], points, 2)] == [(0, 2)] * 2  # nobody asks: an empty answer
