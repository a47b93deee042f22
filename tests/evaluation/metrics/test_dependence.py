"""Samples that depend on each other are found by their order, and independent ones are not."""

from __future__ import annotations

import pytest
import torch
from helpers.metrics import seeded
from torch import Tensor

from genrun.evaluation.metrics.dependence import products, serial_dependence


def chains(count: int, length: int, keep: float, d: int = 6, seed: int = 0) -> Tensor:
    """States of `count` stationary chains x' = keep x + √(1 - keep²) noise, stored in turn: (count · length, d)."""
    generator = seeded(seed)
    states = [torch.randn(count, d, generator=generator)]
    for _ in range(length - 1):
        fresh = torch.randn(count, d, generator=generator)
        states.append(keep * states[-1] + (1 - keep**2) ** 0.5 * fresh)
    return torch.cat(states)


def found(features: Tensor, labels: Tensor | None = None):
    return serial_dependence(features, labels, generator=seeded(9))


@pytest.mark.parametrize(("count", "length"), [(40, 25), (1, 1000), (500, 2)])
def test_chains_are_found_with_their_stride_and_their_worth(count, length):
    keep = 0.6
    dependence = found(chains(count, length, keep))
    assert dependence.stride == count and dependence.correlation == pytest.approx(keep, abs=0.1)
    # variance of a mean of `length` states against that of independent ones
    inflation = 1 + 2 * sum((1 - lag / length) * keep**lag for lag in range(1, length))
    assert dependence.share == pytest.approx(1 / inflation, rel=0.35)


@pytest.mark.parametrize("seed", range(12))
def test_independent_samples_are_not_found(seed):
    heavy = torch.randn(700, 5, generator=seeded(seed)).pow(3)
    assert found(heavy) == (1.0, 0, 0.0, 0.0)


def test_the_order_of_classes_is_no_dependence_and_chains_within_classes_are():
    labels = torch.arange(900) % 3
    widths = torch.tensor([0.3, 1.0, 3.0])[labels, None]  # classes differ in their means and in their variety
    drawn = widths * torch.randn(900, 5, generator=seeded(1)) + 5 * labels[:, None]
    assert found(drawn, labels).stride == 0 and found(drawn).stride % 3 == 0 < found(drawn).stride
    by_chains = chains(90, 10, 0.8, 5) + 5 * labels[:, None]
    assert found(by_chains, labels).stride == 90


def test_the_sums_are_those_of_all_pairs():
    z = torch.randn(120, 4, generator=seeded(2), dtype=torch.float64)
    truth = [(z[s:] * z[:-s]).sum().item() / 4 for s in range(1, 70)]
    torch.testing.assert_close(products(z), torch.tensor(truth, dtype=torch.float64))


def test_few_and_equal_samples():
    assert found(torch.randn(60, 3, generator=seeded())) == (1.0, 0, 0.0, 0.0)  # too few to tell
    assert found(torch.ones(200, 3)).share == 1 / 200
