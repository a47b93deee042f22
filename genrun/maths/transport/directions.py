"""Directions on which distributions are projected: random rotations, and the slices on which two distributions differ most."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from genrun.maths.transport.marginal_maps import at_ranks, sort_rows


def haar(
    count: int, rows: int, size: int, generator: Generator | None = None, dtype: torch.dtype | None = None
) -> Tensor:
    """Draw matrices (count, rows, size) with orthonormal rows, uniformly (by Haar's measure), on the CPU.

    Each is the first rows of a product of Householder reflections at independent Gaussian vectors of decreasing length. The vectors are
    drawn in single precision, so that the matrices of both precisions are the same but for rounding.

    References:
        Stewart, The efficient generation of random orthogonal matrices, 1980.
    """
    x = (
        torch.randn(count, rows, size, generator=generator, dtype=torch.float32).to(dtype or torch.float32).mT.tril()
    )  # column k begins at its row k
    first = x.diagonal(dim1=1, dim2=2)  # (count, rows)
    signs = torch.where(first < 0, -1.0, 1.0).to(x)
    lengths = x.square().sum(1).sqrt()
    # H = I - τ v vᵀ carries x to -sign(x_1) ‖x‖ e_1, with v_1 = 1
    v = x / (first + signs * lengths).unsqueeze(1)
    tau = 1 + first.abs() / lengths
    return (torch.linalg.householder_product(v, tau) * -signs.unsqueeze(1)).mT


def random_directions(count: int, size: int, generator: Generator) -> Tensor:
    """Draw directions of length 1: rows of random rotations, or of parts of them, (count, size)."""
    rows = min(count, size)
    return haar(-(-count // rows), rows, size, generator).flatten(0, 1)[:count]


def largest_slices(
    x: Tensor, y: Tensor, count: int, iterations: int = 20, generator: Generator | None = None
) -> Tensor:
    r"""Find orthonormal directions on which two sets of points differ most (max-K-sliced Wasserstein distance): (count, D).

        max_W Σ_k W₂²(w_kᵀ x, w_kᵀ y),     W Wᵀ = I

    For a fixed pairing of the sorted projections, W₂² is a convex quadratic w_kᵀ A_k w_k, so that w_k ← A_k w_k does not decrease it;
    the rows are made orthonormal after each such step.

    Args:
        x, y: (D, M) each; if one has more points, only its first M are used.
        iterations: number of these steps, from random directions.

    References:
        Dai and Seljak, Sliced iterative normalizing flows, 2021, section 2 and algorithm 1 (the distance, and its use).
    """
    points = min(x.shape[1], y.shape[1])
    x, y = x[:, :points], y[:, :points]
    W = haar(1, count, len(x), generator, x.dtype)[0].to(x.device)
    for _ in range(iterations):
        of_x, of_y = (W @ x).sort(1), (W @ y).sort(1)  # (count, M)
        difference = of_x.values - of_y.values  # wᵀ (x_i - y_i) of the pairs
        # A w = Σ_i (x_i - y_i) (x_i - y_i)ᵀ w, with the differences back at the places of their points
        G = torch.zeros_like(difference).scatter_(1, of_x.indices, difference) @ x.T
        G -= torch.zeros_like(difference).scatter_(1, of_y.indices, difference) @ y.T
        W = torch.linalg.qr(G.T).Q.T.contiguous()
    return W


def sliced_wasserstein(x: Tensor, y: Tensor, directions: Tensor) -> Tensor:
    r"""Return the sliced Wasserstein distance of two sets of points.

        SW₂² = mean_k ∫ (F⁻¹_{w_kᵀx}(u) - F⁻¹_{w_kᵀy}(u))² du

    Args:
        x: (D, M).
        y: (D, N).
        directions: (K, D), of length 1.

    References:
        Bonneel et al., Sliced and Radon Wasserstein barycenters of measures, 2015.
    """
    a, b = sort_rows(directions @ x), sort_rows(directions @ y)
    if a.shape[1] != b.shape[1]:
        u = (torch.arange(max(a.shape[1], b.shape[1]), device=x.device, dtype=torch.float64) + 0.5) / max(
            a.shape[1], b.shape[1]
        )
        a, b = (at_ranks(one, (u * one.shape[1] - 0.5).clamp(0, one.shape[1] - 1)) for one in (a, b))
    return (a - b).square().mean().sqrt()
