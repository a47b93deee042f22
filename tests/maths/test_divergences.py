"""The discrepancy of codes by its double sums in numpy, and on distributions whose discrepancy is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from genrun.maths.divergences import mean_discrepancy


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def kernel(a: np.ndarray, b: np.ndarray) -> float:
    widths = 2 * len(a) * np.array([0.1, 0.2, 0.5, 1, 2, 5, 10])
    return float((widths / (widths + ((a - b) ** 2).sum())).sum())


def test_the_discrepancy_is_its_sums_over_pairs():
    z, u = normal(7, 3).numpy(), 1 + normal(7, 3, seed=1).numpy()
    pairs = [(i, j) for i in range(7) for j in range(7)]
    expected = sum(kernel(z[i], z[j]) + kernel(u[i], u[j]) for i, j in pairs if i != j) / 42
    expected -= 2 * sum(kernel(z[i], u[j]) for i, j in pairs) / 49
    found = mean_discrepancy(torch.from_numpy(z), torch.from_numpy(u)).item()
    assert found == pytest.approx(expected, rel=1e-10) and found > 0


def test_equal_distributions_have_no_discrepancy_on_average():
    found = [mean_discrepancy(normal(16, 2, seed=k), normal(16, 2, seed=1000 + k)).item() for k in range(200)]
    assert abs(np.mean(found)) < 3 * np.std(found) / 200**0.5
    shifted = [mean_discrepancy(0.5 + normal(16, 2, seed=k), normal(16, 2, seed=1000 + k)).item() for k in range(200)]
    assert np.mean(shifted) > 10 * np.std(found) / 200**0.5


def test_equal_codes_have_a_gradient_and_one_code_has_no_discrepancy():
    codes = torch.zeros(4, 2, dtype=torch.float64, requires_grad=True)
    mean_discrepancy(codes, normal(4, 2)).backward()
    assert codes.grad.isfinite().all() and codes.grad.any()
    with pytest.raises(ValueError, match=r"expected the same number of codes, at least 2, got \(1, 2\) and \(1, 2\)"):
        mean_discrepancy(normal(1, 2), normal(1, 2))
