"""Clipped density and clipped coverage: as density and coverage, but no image counts for more than one, and both are shares.

Both are calibrated: a set in which a share s of the images is like the real ones, and the others lie far off, gets about s.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betaln, gammaln
from torch import Tensor


def clipped_density(around_samples: Tensor, around_real: Tensor, k: int) -> float:
    r"""Return the clipped density: the share of good samples that gives samples as many real images around them as these have.

        mean_j min(c_j / k, 1) / mean_i min(r_i / k, 1), at most 1

    c_j counts the real images x_i whose ball holds sample y_j; r_i counts the other real images whose ball holds x_i. The ball of x_i
    reaches to its k-th neighbour among real images, but no further than the median of these radii: the wide balls of outliers hold
    almost anything.

    Args:
        around_samples: c (m,).
        around_real: r (n,).
        k: neighbours.

    References:
        Salvy, Talbot and Thirion, Enhanced generative model evaluation with clipped density and coverage, 2025 (arXiv 2507.01761).
    """
    ours, real = ((counts.double() / k).clamp_max(1).mean().item() for counts in (around_samples, around_real))
    return min(ours / real, 1.0) if real else 0.0


def clipped_coverage(around_real: Tensor, n_samples: int, k: int) -> float:
    r"""Return the clipped coverage: the share of good samples that covers real images as much as these samples do.

        f⁻¹(mean_i min(s_i / k, 1)) / m

    s_i counts the samples in the ball of the real image x_i, which reaches to its k-th neighbour; f(g) is what is expected of this mean
    for g samples that are drawn as the real images are (see `expected_coverage`).

    Args:
        around_real: s (n,).
        n_samples: m, number of samples.
        k: neighbours.

    References:
        Salvy, Talbot and Thirion, 2025 (arXiv 2507.01761).
    """
    covered = (around_real.double() / k).clamp_max(1).mean().item()
    return float(
        np.interp(covered, expected_coverage(len(around_real), n_samples, k), np.linspace(0, 1, n_samples + 1))
    )


def expected_coverage(n: int, m: int, k: int) -> np.ndarray:
    r"""Return f(g) = E[min(J, k)] / k for g = 0 … m good samples: (m + 1,) float64, rising from 0.

    Of n real images, the k-th nearest to one of them encloses a mass p ~ Beta(k, n - k), whatever their distribution. So the number J of
    g good samples in this ball is beta-binomial, and

        f(g) = 1 - Σ_{j<k} (1 - j/k) P(J = j),   P(J = j) = C(g, j) B(k + j, n - k + g - j) / B(k, n - k)

    Raises:
        ValueError: n ≤ k.
    """
    if n <= k:
        raise ValueError(f"clipped coverage with k = {k} needs more than {k} real images, got {n}")
    g = np.arange(m + 1, dtype=np.float64)
    missed = np.zeros(m + 1)
    for j in range(k):
        there = g >= j
        of = g[there]
        log_choose = gammaln(of + 1) - gammaln(j + 1) - gammaln(of - j + 1)
        missed[there] += (1 - j / k) * np.exp(log_choose + betaln(k + j, n - k + of - j) - betaln(k, n - k))
    return np.maximum(1 - missed, 0)
