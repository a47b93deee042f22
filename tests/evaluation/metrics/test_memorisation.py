"""Copies scream and true samples pass; statistics against pairs one by one and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.metrics import seeded
from scipy.stats import mannwhitneyu
from torch import Tensor
from torch.nn.functional import normalize

from genrun.evaluation.metrics.memorisation import (
    LEAST_IN_CELL,
    authenticity,
    copying_statistic,
    distance_ratio,
    rank_sum_z,
)
from genrun.evaluation.metrics.neighbours import nearest

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
