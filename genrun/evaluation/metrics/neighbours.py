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


def manifold(samples: Tensor, real: Tensor, k: int = 5) -> Manifold:
    r"""Measure how many samples lie among real images, and how many real images among samples.

    For samples y_j and real images x_i, R_k(x) is the distance of x to its k-th neighbour in its own set:

        precision = share of y_j with |y_j - x_i| ≤ R_k(x_i) for some i      recall: x and y exchanged
        density   = 1/(k m) Σ_j #{i: |y_j - x_i| ≤ R_k(x_i)}                coverage = share of x_i with |y_j - x_i| ≤ R_k(x_i)
                                                                                        for some j

    Args:
        samples, real: features (m, d) and (n, d). Use m = n, otherwise recall and precision are not comparable.

    References:
        Kynkäänniemi et al., Improved precision and recall metric for assessing generative models, 2019.
        Naeem et al., Reliable fidelity and diversity metrics for generative models, 2020, equations 3 to 6.
    """
    around_real = nearest(real, real, k, same=True)[0][:, -1].double().square() * RIM  # (n,)
    around_samples = nearest(samples, samples, k, same=True)[0][:, -1].double().square() * RIM  # (m,)
    inside = precise = recalled = 0
    nearest_sample = torch.full((len(real),), torch.inf, dtype=torch.float64, device=real.device)
    is_recalled = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    for start, squared in squared_distances(samples, real):
        among_real = squared <= around_real
        inside += among_real.sum().item()
        precise += among_real.any(1).sum().item()
        nearest_sample = torch.minimum(nearest_sample, squared.amin(0))
        is_recalled |= (squared <= around_samples[start : start + len(squared), None]).any(0)
    recalled = is_recalled.double().mean().item()
    coverage = (nearest_sample <= around_real).double().mean().item()
    return Manifold(precise / len(samples), recalled, inside / (k * len(samples)), coverage)
