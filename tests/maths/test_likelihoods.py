"""Likelihoods against torch's distributions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli as BernoulliLaw
from torch.distributions import Normal

from genrun.maths.likelihoods import Bernoulli, Gaussian

SHAPE = (1, 2, 3)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int = 30) -> Tensor:
    return torch.rand(n, *SHAPE, generator=seeded(), dtype=torch.float64)


def test_bernoulli_is_that_of_torch_for_any_leading_dimensions():
    output = 3 * torch.randn(4, 5, *SHAPE, generator=seeded(), dtype=torch.float64)
    x = images(5).round()
    expected = BernoulliLaw(logits=output).log_prob(x.expand_as(output)).sum((2, 3, 4))
    torch.testing.assert_close(Bernoulli().log_prob(x, output), expected)
    torch.testing.assert_close(Bernoulli().mean(output), BernoulliLaw(logits=output).mean)
    assert Bernoulli.binary and not Gaussian.binary


@pytest.mark.parametrize("learned", [False, True])
def test_gaussian_is_that_of_torch_for_any_leading_dimensions(learned):
    output = torch.randn(4, 5, *SHAPE, generator=seeded(), dtype=torch.float64)
    likelihood = Gaussian(0.2, learned).double()
    expected = Normal((1 + output.tanh()) / 2, 0.2).log_prob(images(5)).sum((2, 3, 4))
    torch.testing.assert_close(likelihood.log_prob(images(5), output), expected, rtol=1e-5, atol=1e-5)
    assert len(list(likelihood.parameters())) == learned


def test_gaussian_as_it_comes_is_the_documents_squared_error_and_a_constant():
    output = torch.randn(30, *SHAPE, generator=seeded(), dtype=torch.float64)
    squares = ((2 * images() - 1) - output.tanh()).square().sum((1, 2, 3))  # (31), on [-1, 1]
    constant = -Gaussian().double().log_prob(images(), output) - squares
    torch.testing.assert_close(constant, constant.mean().expand(30), rtol=0, atol=1e-5)


def test_the_best_learned_deviation_is_that_of_the_errors():
    likelihood, output = Gaussian(0.5, learned=True), torch.zeros(30, *SHAPE)
    x = images().float()
    errors = (x - 0.5).square().mean().sqrt()
    with torch.no_grad():
        likelihood.log_deviation.copy_(errors.log())
    (slope,) = torch.autograd.grad(likelihood.log_prob(x, output).mean(), likelihood.log_deviation)
    assert slope.item() == pytest.approx(0, abs=1e-4)
    with pytest.raises(ValueError, match=r"model\.likelihood\.deviation: expected a positive number, got 0"):
        Gaussian(0)
