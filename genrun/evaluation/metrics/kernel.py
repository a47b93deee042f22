"""The kernel distance between two sets of features. It is unbiased, so few images are enough."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def kernel_distance(
    features: Tensor, reference: Tensor, *, draws: int = 20, size: int = 1000, generator: Generator
) -> tuple[float, float]:
    r"""Return the kernel distance: the squared maximum mean discrepancy with the kernel k(x, y) = (x·y/d + 1)³.

    The estimate is unbiased, so it may be below zero:

        1/(m(m-1)) Σ_{i≠j} k(x_i, x_j) + 1/(m(m-1)) Σ_{i≠j} k(y_i, y_j) - 2/m² Σ_{ij} k(x_i, y_j)

    Args:
        features, reference: (n, d) and (n', d).
        draws: number of random subsets of each set; a subset has no image twice.
        size: m, images in a subset; at most as many as the smaller set has.
        generator: draws the subsets.

    Returns:
        The mean over the draws and their standard deviation.

    References:
        Bińkowski et al., Demystifying MMD GANs, 2018, equation 4 and section 4.

    Raises:
        ValueError: fewer than three draws (no useful standard deviation) or fewer than two images (no distance).
    """
    m = min(size, len(features), len(reference))
    if draws < 3:
        raise ValueError(f"a kernel distance needs at least 3 draws, got {draws}")
    if m < 2:
        raise ValueError(f"a kernel distance needs at least 2 images of each kind, got {m}")
    values = []
    for _ in range(draws):
        x, y = (
            kind[torch.randperm(len(kind), generator=generator)[:m].to(kind.device)].double()
            for kind in (features, reference)
        )
        within = sum((kernel(z, z).sum() - kernel_to_itself(z).sum()) / (m * (m - 1)) for z in (x, y))
        values.append(within - 2 * kernel(x, y).mean())
    each = torch.stack(values)
    return each.mean().item(), each.std().item()


def kernel(x: Tensor, y: Tensor) -> Tensor:
    """Return k(x_i, y_j) for all pairs; (n, d), (m, d) → (n, m)."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def kernel_to_itself(x: Tensor) -> Tensor:
    """Return k(x_i, x_i) for each row; (n, d) → (n,)."""
    return (x.square().mean(1) + 1) ** 3
