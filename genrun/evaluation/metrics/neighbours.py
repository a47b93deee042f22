"""Nearest neighbours among features, and the metrics of fidelity and diversity that use them.

Distances are computed as |x|² + |y|² - 2 x·y in blocks, because a matrix of all pairs would need too much memory. They are
summed in 64 bits. In 32 bits the squares cancel: a copy may be missed, and a point on the boundary of a ball may count as
inside or outside.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from genrun.evaluation.metrics.clipped import clipped_coverage, clipped_density

ENTRIES = 2**25  # distances in a block: 256 MiB
SAME = 1e-12  # times |x|²: rounding may give two equal points a squared distance up to this
RIM = 1 + 1e-6  # factor on squared radii: a ball includes its boundary, and radii were rounded to 32 bits


def nearest(queries: Tensor, points: Tensor, k: int = 1, *, same: bool = False) -> tuple[Tensor, Tensor]:
    """Return the distances and the indices of the k nearest points of each query.

    Args:
        queries, points: (n, d) and (m, d).
        same: queries and points are the same set. A point is then not its own neighbour, but a second copy of it is one.

    Returns:
        Euclidean distances (n, k), ascending, float32, and the neighbours' indices (n, k). The distances are computed again
        from the differences, so the distance of a copy is exactly 0.

    Raises:
        ValueError: there are fewer than k neighbours for each query.
    """
    if len(points) - same < k:
        raise ValueError(f"{k} nearest neighbours need at least {k + same} images, got {len(points)}")
    distances, indices = (
        [torch.empty(0, k, device=queries.device)],
        [torch.empty(0, k, dtype=torch.int64, device=queries.device)],
    )
    for start, squared in squared_distances(queries, points):
        if same:
            rows = torch.arange(len(squared), device=squared.device)
            squared[rows, start + rows] = torch.inf
        index = squared.topk(k, dim=1, largest=False).indices if k > 1 else squared.argmin(1, keepdim=True)
        exact = (queries[start : start + len(squared), None] - points[index]).norm(dim=2)
        exact, order = exact.sort(dim=1)
        distances.append(exact)
        indices.append(index.gather(1, order))
    return torch.cat(distances), torch.cat(indices)


def squared_distances(queries: Tensor, points: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield squared distances in blocks of queries: (index of the first query, distances (b, m) float64).

    Queries and points are centred first, because then less precision is lost when the squares cancel.
    """
    points = points.double()
    centre = points.mean(0)
    points = points - centre
    squares = points.square().sum(1)
    rows = max(1, ENTRIES // len(points))
    for start in range(0, len(queries), rows):
        block = queries[start : start + rows].double() - centre
        own = block.square().sum(1, keepdim=True)
        squared = torch.addmm(squares, block, points.T, alpha=-2).add_(own)
        yield start, squared.masked_fill_(squared < SAME * own, 0)


class Manifold(NamedTuple):
    """Fidelity (precision, density) and diversity (recall, coverage) of samples; 1 is the best value."""

    precision: float
    recall: float
    density: float
    coverage: float
    clipped_density: float
    clipped_coverage: float


class Neighbours(NamedTuple):
    """Distances (n, k) of points to their k nearest others, ascending, and the indices (n, k) of these."""

    distances: Tensor
    indices: Tensor


def manifold(
    samples: Tensor,
    real: Tensor,
    k: int = 5,
    among_samples: Neighbours | None = None,
    among_real: Neighbours | None = None,
) -> Manifold:
    r"""Measure how many samples lie among real images, and how many real images among samples.

    For samples y_j and real images x_i, R_k(x) is the distance of x to its k-th neighbour in its own set:

        precision = share of y_j with |y_j - x_i| ≤ R_k(x_i) for some i      recall: x and y exchanged
        density   = 1/(k m) Σ_j #{i: |y_j - x_i| ≤ R_k(x_i)}                coverage = share of x_i with |y_j - x_i| ≤ R_k(x_i)
                                                                                        for some j

    For the clipped density and the clipped coverage see `genrun.evaluation.metrics.clipped`.

    Args:
        samples, real: features (m, d) and (n, d). Use m = n, otherwise recall and precision are not comparable.
        among_samples, among_real: the k nearest neighbours of each within its own set, if they are known.

    References:
        Kynkäänniemi et al., Improved precision and recall metric for assessing generative models, 2019.
        Naeem et al., Reliable fidelity and diversity metrics for generative models, 2020, equations 3 to 6.
    """
    among_real = among_real or Neighbours(*nearest(real, real, k, same=True))
    among_samples = among_samples or Neighbours(*nearest(samples, samples, k, same=True))
    around_real, around_samples = (
        known.distances[:, k - 1].double().square() * RIM for known in (among_real, among_samples)
    )  # (n,), (m,)
    narrow = around_real.clamp_max(around_real.quantile(0.5))
    count = torch.zeros(len(real), dtype=torch.int64, device=real.device)  # of samples in the ball of a real image
    is_recalled = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    precise, near = 0, []
    for start, squared in squared_distances(samples, real):
        inside = squared <= around_real
        precise += inside.any(1).sum().item()
        count += inside.sum(0)
        near.append((squared <= narrow).sum(1))
        is_recalled |= (squared <= around_samples[start : start + len(squared), None]).any(0)
    held = among_real.distances[:, :k].double().square() <= narrow[:, None]  # neighbours within the narrow balls
    within = torch.bincount(among_real.indices[:, :k][held], minlength=len(real))
    return Manifold(
        precise / len(samples),
        is_recalled.double().mean().item(),
        count.sum().item() / (k * len(samples)),
        (count > 0).double().mean().item(),
        clipped_density(torch.cat(near), within, k),
        clipped_coverage(count, len(samples), k),
    )
