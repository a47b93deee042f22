"""The density of the flow to a Gaussian, whose velocity is known, is that Gaussian's."""

from __future__ import annotations

import pytest
import torch
from helpers.diffusion import seeded
from torch import Tensor

from genrun.maths.change_of_variables import log_density
from genrun.maths.samplers import Heun

MEAN = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)
ROOT = torch.tensor([[0.3, 0.0, 0.0], [0.25, 0.1, 0.0], [-0.1, 0.2, 0.4]], dtype=torch.float64)
TIMES = Heun(400, rho=7.0, sigma_min=0.002).times()[::-1]


def velocity_to(covariance: Tensor):
    """E(x_1 - ε | x_t): m + (t C - (1-t) I) (t² C + (1-t)² I)⁻¹ (x - t m)."""
    one = torch.eye(3, dtype=torch.float64)

    def velocity(x: Tensor, t: float) -> Tensor:
        slope = (t * covariance - (1 - t) * one) @ torch.linalg.inv(t**2 * covariance + (1 - t) ** 2 * one)
        return MEAN + (x - t * MEAN) @ slope.T

    return velocity


def points_of(covariance: Tensor, n: int) -> tuple[Tensor, Tensor]:
    law = torch.distributions.MultivariateNormal(MEAN, covariance)
    x = MEAN + torch.randn(n, 3, generator=seeded(), dtype=torch.float64) @ torch.linalg.cholesky(covariance).T
    return x, law.log_prob(x)


def test_independent_values_have_their_density_exactly():
    covariance = torch.diag(torch.tensor([0.04, 0.3, 1.5], dtype=torch.float64))
    x, exact = points_of(covariance, 20)
    torch.testing.assert_close(log_density(velocity_to(covariance), x, TIMES), exact, rtol=0, atol=1e-3)


def test_dependent_values_have_it_on_average_over_the_probes():
    covariance = ROOT @ ROOT.T
    x, exact = points_of(covariance, 1)
    found = log_density(velocity_to(covariance), x.expand(2000, -1), TIMES, seeded(1))
    assert found.std() > 0.1
    assert found.mean().item() == pytest.approx(exact.item(), abs=4 * found.std().item() / 2000**0.5 + 1e-3)
