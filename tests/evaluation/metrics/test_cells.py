"""PQMass against scipy and the authors' package, and its expectation for equal distributions."""

from __future__ import annotations

import numpy as np
import pqm.pqm
import pytest
import torch
from helpers.metrics import seeded
from scipy.spatial.distance import cdist
from scipy.stats import chi2_contingency

from genrun.evaluation.metrics.cells import cell_statistics, chi_square


def by_scipy(samples: np.ndarray, real: np.ndarray, cells: int, generator: torch.Generator) -> float:
    """χ² of one draw: the same centres, distances of all pairs, scipy's contingency table; its counts of cells."""
    both = np.concatenate([samples, real])
    centres = torch.randperm(len(both), generator=generator)[:cells].numpy()
    rest = np.setdiff1d(np.arange(len(both)), centres)
    cell = cdist(both[rest], both[centres]).argmin(1)
    counts = [np.bincount(cell[kind], minlength=cells) for kind in (rest < len(samples), rest >= len(samples))]
    return chi2_contingency(np.stack(counts), correction=False).statistic


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_a_draw_is_the_chi_square_of_scipy(shift):
    samples, real = torch.randn(700, 3, generator=seeded(1)) + shift, torch.randn(500, 3, generator=seeded(2))
    found = cell_statistics(samples, real, draws=1, cells=12, generator=seeded(5))
    truth = by_scipy(samples.double().numpy(), real.double().numpy(), 12, seeded(5))
    assert found.item() == pytest.approx(truth, rel=1e-9)


def test_the_mean_over_draws_agrees_with_the_authors_package(monkeypatch):
    monkeypatch.setattr(pqm.pqm, "tqdm", lambda items: items)
    np.random.seed(0)
    samples, real = torch.randn(2, 800, 4, generator=seeded(1))
    samples = samples * 1.2 + 0.1
    theirs = pqm.pqm_chi2(samples.double().numpy(), real.double().numpy(), num_refs=20, re_tessellation=60)
    ours = cell_statistics(samples, real, draws=60, cells=20, generator=seeded())
    assert ours.mean().item() == pytest.approx(np.mean(theirs), rel=0.08)
    assert ours.mean() > 1.5 * 19


def test_equal_distributions_have_the_degrees_of_freedom_whatever_they_are():
    found = []
    for seed in range(30):
        both = torch.randn(600, 5, generator=seeded(seed)).exp()
        found.append(cell_statistics(both[:350], both[350:], draws=4, cells=15, generator=seeded(seed)).mean().item())
    assert np.mean(found) == pytest.approx(14, abs=1.2)


def test_copies_and_chains_have_more_than_that():
    real = torch.randn(1000, 5, generator=seeded(1))
    samples = torch.randn(100, 5, generator=seeded(2)).repeat(10, 1)  # as 100 independent ones
    assert cell_statistics(samples, real, draws=10, cells=20, generator=seeded()).mean() > 3 * 19


def test_empty_cells_are_scaled_away_and_one_cell_says_nothing():
    counts = torch.tensor([[10, 20, 0], [20, 10, 0]])
    assert chi_square(counts) == pytest.approx(2 * chi2_contingency(counts[:, :2].numpy(), correction=False).statistic)
    assert chi_square(torch.tensor([[5, 0], [7, 0]])) == 0
    with pytest.raises(ValueError, match="20 cells need at least 200 images, got 100"):
        cell_statistics(torch.zeros(50, 2), torch.zeros(50, 2), draws=1, cells=20, generator=seeded())
