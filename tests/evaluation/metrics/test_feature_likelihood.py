"""The feature likelihood: its fit is a maximum, its value the dense sum, and copies widen the gap."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.metrics import seeded
from torch import Tensor

from genrun.evaluation.metrics import feature_likelihood as of
from genrun.evaluation.metrics.feature_likelihood import feature_likelihood, fitted, nearest_samples


def dense(images: Tensor, samples: Tensor, variance: Tensor) -> Tensor:
    """log p of each image under all Gaussians, coordinate by coordinate."""
    each = torch.distributions.Normal(samples, variance.sqrt()[:, None]).log_prob(images[:, None]).sum(2)  # (n, m)
    return each.logsumexp(1) - math.log(len(samples))


def test_the_value_is_that_of_the_dense_mixture_and_the_fit_is_a_maximum(monkeypatch):
    monkeypatch.setattr(of, "NEAR", 30)
    monkeypatch.setattr(of, "STEPS", 500)
    samples, train, test = (torch.randn(n, 4, generator=seeded(n), dtype=torch.float64) for n in (30, 200, 90))
    found = feature_likelihood(samples, train, test)
    samples, train, test = ((part - test.mean(0)) / test.std(0) for part in (samples, train, test))
    variance = fitted(nearest_samples(train, samples), train)
    for part, value in zip((train, test), found, strict=True):
        assert value == pytest.approx(-100 / 4 * dense(part, samples, variance).mean().item(), rel=1e-6)

    # no width can be changed for the better: the gradient is zero, with the base at its own best width
    base_distance, log_variance = 0.81 * (train - train.mean(0)).square().sum(1), variance.log().requires_grad_()
    log_bases = torch.linspace(-3, 1, 400, dtype=torch.float64)[:, None]
    base = -base_distance / (2 * log_bases.exp()) - 2 * (math.log(2 * math.pi) + log_bases)  # (400, 200)
    best = torch.logaddexp(dense(train, samples, log_variance.exp()), base).mean(1).max()
    (gradient,) = torch.autograd.grad(best, log_variance)
    assert gradient.abs().max() < 3e-4
    with torch.no_grad():  # which is not so where the fit began
        log_variance.add_(0.3)
    best = torch.logaddexp(dense(train, samples, log_variance.exp()), base).mean(1).max()
    assert torch.autograd.grad(best, log_variance)[0].abs().max() > 3e-3


def test_the_published_way_of_fitting_comes_to_the_same():
    """The paper's code fits the widths, and that of the base, by Adam on the dense sums."""
    samples, train, test = (torch.randn(n, 40, generator=seeded(n), dtype=torch.float64) for n in (60, 400, 200))
    found = feature_likelihood(samples, train, test)
    samples, train, test = ((part - test.mean(0)) / test.std(0) for part in (samples, train, test))
    to_base = 0.81 * (train - train.mean(0)).square().sum(1)
    log_variance, log_base = torch.zeros(60, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    optimizer = torch.optim.Adam([log_variance.requires_grad_(), log_base.requires_grad_()], lr=0.05)
    for _ in range(300):
        base = -to_base / (2 * log_base.exp()) - 20 * (math.log(2 * math.pi) + log_base)
        loss = -torch.logaddexp(dense(train, samples, log_variance.exp()), base).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for part, value in zip((train, test), found, strict=True):
        with torch.no_grad():
            assert value == pytest.approx(-100 / 40 * dense(part, samples, log_variance.exp()).mean().item(), abs=0.5)


def test_few_nearest_samples_are_enough_in_many_dimensions(monkeypatch):
    samples, train, test = (torch.randn(n, 40, generator=seeded(n)) for n in (300, 1500, 500))
    few = feature_likelihood(samples, train, test)
    monkeypatch.setattr(of, "NEAR", 300)
    assert feature_likelihood(samples, train, test) == pytest.approx(few, abs=0.25)


def test_copies_widen_the_gap_and_poor_samples_do_not():
    centres = 3 * torch.randn(10, 16, generator=seeded(3))

    def real(n: int) -> Tensor:
        return centres[torch.arange(n) % 10] + torch.randn(n, 16, generator=seeded(n))

    train, test, fresh = real(2000), real(800), real(300)

    def judged(samples: Tensor) -> tuple[float, float]:
        found = feature_likelihood(samples, train, test)
        return found.test, found.train - found.test

    best, gap = judged(fresh)
    assert abs(gap) < 2
    assert judged(torch.cat([train[:30], fresh[30:]]))[1] < gap - 2  # a tenth
    assert judged(train[:300])[1] < -1000  # all of them
    assert judged(train[:300] + 0.05 * torch.randn(300, 16, generator=seeded(1)))[1] < -10
    dropped, blurred = fresh[torch.arange(300) % 10 < 9], fresh + 1.5 * torch.randn(300, 16, generator=seeded(7))
    for poor in (dropped, fresh + 1, fresh[:30].repeat(10, 1), blurred):
        assert judged(poor)[0] > best + 1 and abs(judged(poor)[1] - gap) < 2
