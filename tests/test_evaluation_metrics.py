"""The metrics against torchmetrics, scipy, scikit-learn, the authors' own code, brute force and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from prdc import compute_prdc
from scipy.linalg import sqrtm
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from scipy.stats import entropy as scipy_entropy
from scipy.stats import mannwhitneyu
from torch import Tensor, nn
from torch.nn.functional import normalize
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from genrun.evaluation.metrics import frechet, neighbours
from genrun.evaluation.metrics.frechet import Moments, frechet_at_infinity, frechet_distance, moments
from genrun.evaluation.metrics.kernel import kernel_distance
from genrun.evaluation.metrics.memorisation import (
    LEAST_IN_CELL,
    authenticity,
    copying_statistic,
    distance_ratio,
    rank_sum_z,
)
from genrun.evaluation.metrics.neighbours import manifold, nearest
from genrun.evaluation.metrics.predictions import accuracy_by_class, class_counts, entropy, inception_score

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning:torchmetrics"
)  # that it keeps features, which is what is wanted


class PassThrough(nn.Module):
    """Takes features for images, so that torchmetrics judges what we judge."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(n: int, d: int, seed: int = 0) -> Tensor:
    """Features (n, d) with correlations, float64."""
    generator = seeded(seed)
    mixing = torch.randn(d, d, generator=generator, dtype=torch.float64)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) @ mixing + seed


# ------------------------------------------------------------------------------------------------------ Fréchet distance


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


# ------------------------------------------------------------------------------------------------------- kernel distance


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


# ---------------------------------------------------------------------------------- precision, recall, density, coverage


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
    ours = manifold(samples, real, k)
    theirs = compute_prdc(real.numpy(), samples.numpy(), k)
    np.testing.assert_allclose(ours, [theirs[name] for name in ours._fields], atol=1e-3)
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
    assert manifold(real, real) == pytest.approx((1, 1, 6 / 5, 1))


def test_repeated_images_cover_themselves():
    # 8 of each: the 5th neighbour lies at distance 0, and rounding must not push a copy out of such a ball
    once = torch.randn(50, 64, generator=seeded()).relu() * 5
    often = once.repeat(8, 1)
    assert manifold(often, often) == pytest.approx((1, 1, 8 / 5, 1))
    assert manifold(once.repeat(8, 1), torch.cat([often, often + 100])) == pytest.approx((1, 0.5, 8 / 5, 0.5))


def test_far_sets_share_nothing():
    real, samples = torch.randn(200, 4, generator=seeded(1)), torch.randn(200, 4, generator=seeded(2)) + 100
    assert manifold(samples, real) == (0, 0, 0, 0)


def test_dropping_one_of_two_modes_halves_recall_and_coverage_only():
    real = torch.randn(1000, 2, generator=seeded(1))
    real[500:] += 100
    samples = torch.randn(1000, 2, generator=seeded(2))
    found = manifold(samples, real)
    assert found.precision > 0.95
    assert found.recall == pytest.approx(0.5, abs=0.02)
    assert found.coverage == pytest.approx(0.5, abs=0.02)
    assert manifold(real, samples).precision == pytest.approx(found.recall, abs=1e-9)  # exchanged


# ---------------------------------------------------------------------------------------------------- nearest neighbours


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


# ---------------------------------------------------------------------------------------------------------- memorisation


# Of random points in a plane, how many are not the nearest neighbour of their own nearest neighbour (Clark and Evans, 1955): in so few
# dimensions a sample of the true distribution is authentic no more often than that.
MUTUAL_MISSED = 1 - 6 * np.pi / (8 * np.pi + 3 * 3**0.5)


class Looks:
    """Training, test and sampled points in two clusters, and their distances by brute force."""

    def __init__(self, seed: int, samples: str) -> None:
        generator = seeded(seed)
        noise = torch.randn(3, 400, 2, generator=generator)
        cells = (torch.rand(3, 400, generator=generator) > 0.3).long()
        self.train, self.test, others = (noise + 20 * cells.unsqueeze(2)).unbind()
        _, self.test_cells, self.sample_cells = cells.unbind()
        if samples == "same":
            self.samples = others
        elif samples == "far":
            self.samples = others + 8 * normalize(torch.randn(400, 2, generator=generator))
        else:
            chosen = torch.randint(400, (400,), generator=generator)
            self.samples, self.sample_cells = self.train[chosen], cells[0, chosen]
        self.to_train, self.nearest = self.distances(self.samples).min(1)
        self.test_to_train = self.distances(self.test).min(1).values
        self.train_to_train = self.distances(self.train).fill_diagonal_(torch.inf).min(1).values

    def distances(self, points: Tensor) -> Tensor:
        """To all training points, from differences: (n, d) → (n, N)."""
        return torch.cdist(points, self.train, compute_mode="donot_use_mm_for_euclid_dist")

    def copying(self) -> float:
        return copying_statistic(self.to_train, self.sample_cells, self.test_to_train, self.test_cells)

    def authenticity(self) -> float:
        return authenticity(self.to_train, self.nearest, self.train_to_train)

    def ratio(self) -> float:
        return distance_ratio(self.to_train, self.test_to_train)


def test_copies_scream():
    looks = Looks(0, "copies")
    assert looks.ratio() == 0
    assert looks.authenticity() == 0
    assert looks.copying() < -10


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_samples_of_the_true_distribution_pass(seed):
    looks = Looks(seed, "same")
    assert looks.ratio() == pytest.approx(1, abs=0.2)
    assert looks.authenticity() == pytest.approx(MUTUAL_MISSED, abs=0.1)
    assert abs(looks.copying()) < 3


def test_samples_that_lie_off_are_told_from_copies():
    looks = Looks(0, "far")
    assert looks.ratio() > 2
    assert looks.authenticity() > 0.9
    assert looks.copying() > 5


def test_the_ratio_and_authenticity_are_what_they_say():
    assert distance_ratio(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 5.0, 6.0])) == pytest.approx(1.5 / 4)
    looks = Looks(0, "same")
    authentic = 0
    for sample in looks.samples.double():
        distances = (looks.train.double() - sample).norm(dim=1)
        owner = looks.train.double()[distances.argmin()]
        to_others = (looks.train.double() - owner).norm(dim=1)
        to_others[distances.argmin()] = torch.inf
        authentic += bool(distances.min() > to_others.min())
    assert looks.authenticity() == pytest.approx(authentic / 400)
    # as far as its owner from the next one is not further
    assert authenticity(torch.tensor([1.0, 1.5]), torch.tensor([0, 0]), torch.tensor([1.0, 9.0])) == 0.5


def test_authenticity_of_random_points_in_a_plane_is_the_closed_form():
    train, samples = torch.rand(2, 6000, 2, generator=seeded())
    distances, which = nearest(samples, train)
    found = authenticity(distances[:, 0], which[:, 0], nearest(train, train, same=True)[0][:, 0])
    assert found == pytest.approx(MUTUAL_MISSED, abs=3 * 0.0063)


def u_by_pairs(ours: np.ndarray, real: np.ndarray) -> float:
    return sum(float(a > b) + 0.5 * float(a == b) for a in ours for b in real)


def test_the_rank_sum_counts_pairs():
    stream = np.random.RandomState(0)
    ours, real = stream.randint(0, 12, 35).astype(float), stream.randint(0, 10, 50).astype(float)  # many ties
    u = u_by_pairs(ours, real)
    assert u == mannwhitneyu(ours, real).statistic
    z = (u - 35 * 50 / 2) / np.sqrt(35 * 50 * (35 + 50 + 1) / 12)
    assert rank_sum_z(ours, real) == pytest.approx(z, rel=1e-12)
    assert rank_sum_z(real, ours) == pytest.approx(-z, rel=1e-12)
    assert rank_sum_z(np.zeros(30), np.zeros(40)) == 0  # all tied


def test_the_copying_statistic_weighs_cells_by_their_test_images():
    stream = np.random.RandomState(0)
    # cell: samples, test images; the last has one sample too few, and one cell has no test image
    sizes = {0: (40, 10), 3: (LEAST_IN_CELL, 70), 5: (30, 0), 8: (LEAST_IN_CELL - 1, 50)}
    ours = {cell: stream.gamma(2 + cell, size=n) for cell, (n, _) in sizes.items()}
    real = {cell: stream.gamma(3, size=m) for cell, (_, m) in sizes.items()}

    def flat(values: dict[int, np.ndarray]) -> tuple[Tensor, Tensor]:
        order = torch.randperm(sum(map(len, values.values())), generator=seeded())  # cells come mixed
        cells = np.concatenate([np.full(len(part), cell) for cell, part in values.items()])
        return torch.from_numpy(np.concatenate(list(values.values())))[order], torch.from_numpy(cells)[order]

    truth = 0.0
    for cell in (0, 3):
        n, m = sizes[cell]
        z = (u_by_pairs(ours[cell], real[cell]) - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12)
        truth += m * z / 80
    assert copying_statistic(*flat(ours), *flat(real)) == pytest.approx(truth, rel=1e-9)


def test_the_copying_statistic_needs_a_cell_with_enough_samples():
    distances, few = torch.rand(LEAST_IN_CELL, generator=seeded()), LEAST_IN_CELL - 1
    cells = torch.zeros(LEAST_IN_CELL, dtype=torch.long)
    with pytest.raises(ValueError, match=f"at least {LEAST_IN_CELL} samples, there is none"):
        copying_statistic(distances[:few], cells[:few], distances, cells)
    with pytest.raises(ValueError, match="there is none"):  # enough, but no test image beside them
        copying_statistic(distances, cells, distances, cells + 1)
    assert copying_statistic(distances, cells, distances, cells) == pytest.approx(0)


# ----------------------------------------------------------------------------------------------------------- predictions


def test_the_inception_score_agrees_with_torchmetrics():
    logits = 3 * torch.randn(400, 7, generator=seeded(), dtype=torch.float64)
    mean, deviation = inception_score(logits, splits=1)
    metric = InceptionScore(feature=PassThrough(7), splits=1)
    metric.update(logits)
    assert mean == pytest.approx(metric.compute()[0].item(), rel=1e-9)
    assert deviation == 0
    assert 1 < mean < 7


def test_the_inception_score_of_parts_is_their_mean_and_deviation():
    logits = 3 * torch.randn(90, 7, generator=seeded(), dtype=torch.float64)
    parts = [inception_score(part, splits=1)[0] for part in logits.split(30)]
    expected = np.mean(parts), np.std(parts, ddof=1)
    np.testing.assert_allclose(inception_score(logits, splits=3), expected, rtol=1e-9)


def test_the_inception_score_lies_between_1_and_the_number_of_classes():
    sure = 1000 * torch.eye(10).repeat(20, 1)  # classes in turn, and not a doubt
    assert inception_score(sure) == pytest.approx((10, 0), abs=1e-6)
    assert inception_score(torch.randn(1, 10, generator=seeded()).repeat(200, 1)) == pytest.approx((1, 0), abs=1e-6)
    half = 1000 * torch.eye(10)[:5].repeat(40, 1)
    assert inception_score(half)[0] == pytest.approx(5, rel=1e-6)
    with pytest.raises(ValueError, match="in 10 parts needs at least 20 images, got 19"):
        inception_score(sure[:19])


def test_entropy_is_scipys():
    for counts in ([3, 1, 4, 1, 5], [10, 0, 30], [7]):
        assert entropy(counts) == pytest.approx(scipy_entropy(counts), abs=1e-12)
    assert entropy([8] * 10) == pytest.approx(np.log(10))


def test_classes_are_counted_and_judged_one_by_one():
    predicted, labels = torch.tensor([0, 2, 2, 1, 0, 2]), torch.tensor([0, 2, 1, 1, 1, 2])
    assert class_counts(predicted, 5) == [2, 1, 3, 0, 0]
    found = accuracy_by_class(predicted, labels, 4)
    assert found == [1, pytest.approx(1 / 3), 1, None]  # no image of the last class
