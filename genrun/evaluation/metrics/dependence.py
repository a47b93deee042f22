"""Whether samples depend on each other: alike at a fixed stride in the order in which they were drawn, as states of Markov chains are."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

SHUFFLES = 4  # orders in which the same samples are compared, to learn what chance does
BEYOND = 1.5  # times the largest of their correlations: a stride above it is no chance
LEAST_PAIRS = 50  # of samples: a stride with fewer is not looked at


class Dependence(NamedTuple):
    """How many independent samples are worth as much as the samples.

    Args:
        share: their number, divided by that of the samples: 1 if no stride is remarkable.
        stride: the most remarkable stride; 0 if none is.
        correlation: the correlation at this stride.
        by_chance: the largest correlation at such a stride that is taken for chance.
    """

    share: float
    stride: int = 0
    correlation: float = 0.0
    by_chance: float = 0.0


def serial_dependence(features: Tensor, labels: Tensor | None = None, *, generator: Generator) -> Dependence:
    r"""Compare samples with those s places later, for every stride s at once.

        ρ_s = 1/(d (n - s)) Σ_i z_i · z_{i+s},   share = 1 / (1 + 2 Σ_s (1 - s/n) ρ_s)

    z are the features, each brought to mean 0 and deviation 1. The deviation of ρ_s falls with √(n - s). A stride is remarkable if
    ρ_s √(n - s) is 1.5 times the largest of all strides when the same samples are shuffled; the sum goes over the remarkable ones. So
    n share is the effective sample size of the mean of the features. It does not exceed n.

    K chains whose states were stored in turn are alike at the strides K, 2 K, …, one chain at the strides 1, 2, …. Chains that were
    stored in random order are not found.

    Args:
        features: (n, d), in the order of drawing.
        labels: (n,), the classes that were asked for. Their order is no chance: the mean of its class is taken from each sample, and
            samples are shuffled within a class. None: no classes.
        generator: shuffles.

    References:
        Geyer, Practical Markov chain Monte Carlo, 1992, section 3.1.
    """
    n = len(features)
    if n < 2 * LEAST_PAIRS:
        return Dependence(1.0)
    z, order = features.to(torch.float64, copy=True), torch.zeros(n, dtype=torch.int64) if labels is None else labels
    members = [(order == k).nonzero()[:, 0] for k in order.unique()]
    for one in members:
        z[one] -= z[one].mean(0)
    deviation = z.square().mean(0).sqrt()
    z = z[:, deviation > 1e-9] / deviation[deviation > 1e-9]
    if not z.shape[1]:  # all samples of a class are the same
        return Dependence(len(members) / n, 1, 1.0)
    pairs = n - torch.arange(1, n - LEAST_PAIRS, dtype=torch.float64)  # of s = 1, 2, …
    most = 0.0
    for _ in range(SHUFFLES):
        shuffled = torch.empty_like(z)
        for one in members:
            shuffled[one] = z[one[torch.randperm(len(one), generator=generator)]]
        most = max(most, BEYOND * (products(shuffled) / pairs.sqrt()).max().item())
    found = products(z)
    remarkable = found / pairs.sqrt() > most
    if not remarkable.any():
        return Dependence(1.0)
    first = int((found / pairs.sqrt()).argmax())
    inflation = 1 + 2 * (found / n)[remarkable].sum().item()
    return Dependence(1 / inflation, first + 1, (found / pairs)[first].item(), (most / pairs[first].sqrt()).item())


def products(z: Tensor) -> Tensor:
    """Return Σ_i z_i · z_{i+s} / d for the strides s = 1, 2, … of z (n, d) that have enough pairs, by the Fourier transform."""
    n, d = z.shape
    spectrum = torch.fft.rfft(z.T, n=2 * n)  # as long again, so that the end does not meet the beginning
    power = spectrum.real.square().add_(spectrum.imag.square()).sum(0)
    return torch.fft.irfft(power, n=2 * n)[1 : n - LEAST_PAIRS] / d
