"""How far distributions of codes are from the standard normal distribution, as terms of a loss."""

from __future__ import annotations

import torch
from torch import Tensor

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # s of the kernels


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(μ, σ²) ‖ N(0, I)), (32) of "Generative Imaging", in nats: (n, D) each → (n,)."""
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1)


def mean_discrepancy(codes: Tensor, others: Tensor) -> Tensor:
    r"""Return an unbiased estimate of the squared maximum mean discrepancy of two distributions, with inverse multiquadratic kernels.

        1/(n(n-1)) Σ_{i≠j} k(z_i, z_j) + 1/(n(n-1)) Σ_{i≠j} k(u_i, u_j) - 2/n² Σ_{i,j} k(z_i, u_j)
        k(a, b) = Σ_s 2Ds/(2Ds + ‖a - b‖²),   s = 0.1, 0.2, 0.5, 1, 2, 5, 10

    2D is the mean of ‖a - b‖² if both are from N(0, I). The estimate can be below 0; it is 0 on average if the distributions are equal.

    Args:
        codes: z, n codes of the one distribution (n, D), at least 2.
        others: u, as many codes of the other (n, D).

    Returns:
        A scalar.

    Raises:
        ValueError: there are fewer than two codes, or not as many of both.

    References:
        Tolstikhin et al., Wasserstein auto-encoders, 2018, algorithm 2 and section 4; the sum over s is that of the published code.
    """
    n = len(codes)
    if n < 2 or codes.shape != others.shape:
        raise ValueError(
            f"expected the same number of codes, at least 2, got {tuple(codes.shape)} and {tuple(others.shape)}"
        )
    within = (kernel_sums(codes, codes) + kernel_sums(others, others) - 2 * n * len(SCALES)) / (n * (n - 1))
    return within - 2 * kernel_sums(codes, others) / n**2


def kernel_sums(a: Tensor, b: Tensor) -> Tensor:
    """Return Σ_{i,j} k(a_i, b_j), see `mean_discrepancy`: (n, D) each → a scalar."""
    # without cdist, whose root has no gradient at 0
    with torch.autocast(a.device.type, enabled=False):  # a difference of large numbers
        squares = (a.square().sum(1, keepdim=True) + b.square().sum(1) - 2 * a @ b.T).clamp_min(0)
    widths = 2 * a.shape[1] * torch.tensor(SCALES, dtype=a.dtype, device=a.device)
    return (widths / (widths + squares.unsqueeze(2))).sum()
