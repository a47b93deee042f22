"""The Fréchet distance between two sets of features, in 64 bits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

BLOCK = 4096  # rows whose products are summed at a time


class Moments(NamedTuple):
    """What the Fréchet distance knows of a set of features."""

    count: int
    mean: Tensor  # (d,) float64
    covariance: Tensor  # (d, d) float64, divided by count - 1


def moments(features: Tensor) -> Moments:
    """Mean and covariance of features (n, d), summed in 64 bits whatever their type.

    Raises:
        ValueError: there are not more images than features, so the covariance would be singular.
    """
    n, d = features.shape
    if n <= d:
        raise ValueError(f"a Fréchet distance needs more images than its {d} features, got {n}")
    mean = sum(part.double().sum(0) for part in features.split(BLOCK)) / n
    products = sum((part.double() - mean).T @ (part.double() - mean) for part in features.split(BLOCK))
    return Moments(n, mean, products / (n - 1))


def frechet_distance(one: Moments, other: Moments) -> float:
    r"""Squared 2-Wasserstein distance of two Gaussians.

        |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁^½ Σ₂ Σ₁^½)^½)

    The matrix under the last root is symmetric, so its trace is the sum of the roots of real eigenvalues; rounding that makes one
    of them negative is cut off.

    References:
        Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash equilibrium, 2017, equation 6.
    """
    values, vectors = torch.linalg.eigh(one.covariance)
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T  # Σ₁^½
    product = root @ other.covariance @ root
    overlap = torch.linalg.eigvalsh((product + product.T) / 2).clamp_min(0).sqrt().sum()
    traces = one.covariance.trace() + other.covariance.trace()
    return ((one.mean - other.mean).square().sum() + traces - 2 * overlap).item()


def frechet_at_infinity(features: Tensor, reference: Moments, *, generator: Generator, points: int = 15) -> float:
    """The Fréchet distance that infinitely many images would have, with the bias of their number taken out.

    The distance of n images falls along a line in 1/n; the line through `points` subsets, of half of the images (n, d) up to
    all of them, is followed to 1/n = 0.

    References:
        Chong and Forsyth, Effectively unbiased FID and Inception Score and where to find them, 2020, section 4.

    Raises:
        ValueError: half of the images are not more than their features.
    """
    n = len(features)
    sizes = np.linspace(n // 2, n, points).astype(int)
    distances = []
    for size in sizes:
        chosen = torch.randperm(n, generator=generator)[: int(size)]
        distances.append(frechet_distance(moments(features[chosen]), reference))
    _, intercept = np.polyfit(1 / sizes, distances, 1)
    return float(intercept)
