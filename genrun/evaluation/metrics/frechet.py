"""The Fréchet distance between two sets of features, in 64 bits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

BLOCK = 4096  # rows of features in a partial sum


class Moments(NamedTuple):
    """Mean and covariance of a set of features, from which the Fréchet distance is computed."""

    count: int
    mean: Tensor  # (d,) float64
    covariance: Tensor  # (d, d) float64, divided by count - 1


def moments(features: Tensor) -> Moments:
    """Return the mean and the covariance of features (n, d), summed in 64 bits for any input type.

    Raises:
        ValueError: n ≤ d: with so few images the covariance would be singular.
    """
    n, d = features.shape
    if n <= d:
        raise ValueError(f"a Fréchet distance needs more images than its {d} features, got {n}")
    mean = sum(part.double().sum(0) for part in features.split(BLOCK)) / n
    products = sum((part.double() - mean).T @ (part.double() - mean) for part in features.split(BLOCK))
    return Moments(n, mean, products / (n - 1))


def frechet_distance(one: Moments, other: Moments) -> float:
    r"""Return the Fréchet distance: the squared 2-Wasserstein distance of two Gaussians.

        |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁^½ Σ₂ Σ₁^½)^½)

    The matrix under the last root is symmetric, so its eigenvalues are real, and the trace is the sum of their roots. An
    eigenvalue that rounding made negative counts as 0.

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
    """Estimate the Fréchet distance of infinitely many images, which has no bias from the number of images.

    The distance of n images is about linear in 1/n. A line is fitted to the distances of `points` random subsets, from half of
    the images to all of them, and its value at 1/n = 0 is returned.

    Args:
        features: (n, d), of the images.
        reference: the moments they are compared with.
        generator: draws the subsets.
        points: number of subsets.

    References:
        Chong and Forsyth, Effectively unbiased FID and Inception Score and where to find them, 2020, section 4.

    Raises:
        ValueError: n/2 ≤ d, so the covariance of the smallest subset would be singular.
    """
    n = len(features)
    sizes = np.linspace(n // 2, n, points).astype(int)
    distances = []
    for size in sizes:
        chosen = torch.randperm(n, generator=generator)[: int(size)]
        distances.append(frechet_distance(moments(features[chosen]), reference))
    _, intercept = np.polyfit(1 / sizes, distances, 1)
    return float(intercept)
