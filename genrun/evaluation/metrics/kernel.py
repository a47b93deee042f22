"""The kernel distance between two sets of features: unbiased, so it may be computed on few images."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def kernel_distance(
    features: Tensor, reference: Tensor, *, draws: int = 20, size: int = 1000, generator: Generator
) -> tuple[float, float]:
    r"""Squared maximum mean discrepancy with the kernel k(x, y) = (x·y/d + 1)³, unbiased: it may come out below zero.

        1/(m(m-1)) Σ_{i≠j} k(x_i, x_j) + 1/(m(m-1)) Σ_{i≠j} k(y_i, y_j) - 2/m² Σ_{ij} k(x_i, y_j)

    Args:
        features, reference: (n, d) and (n', d).
        draws: subsets that are drawn of each, without replacement inside one.
        size: m, images in a subset; fewer where there are fewer.

    Returns:
        The mean over the draws and their standard deviation.

    References:
        Bińkowski et al., Demystifying MMD GANs, 2018, equation 4 and section 4.

    Raises:
        ValueError: fewer than three draws have no spread worth the name; fewer than two images have no distance.
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
    """(n, d), (m, d) → (n, m)."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def kernel_to_itself(x: Tensor) -> Tensor:
    """k(x_i, x_i): (n, d) → (n,)."""
    return (x.square().mean(1) + 1) ** 3
