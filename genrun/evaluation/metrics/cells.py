"""PQMass: whether samples and real images fall into the same random cells equally often."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from genrun.evaluation.metrics.neighbours import squared_distances

LEAST_IN_CELL = 10  # samples and real images on average: with fewer, a count says little


def cell_statistics(samples: Tensor, real: Tensor, *, draws: int, cells: int, generator: Generator) -> Tensor:
    r"""Return, for several draws of random cells, Pearson's χ² of the counts of samples and of real images in them, (draws,) float64.

        χ² = Σ_cells Σ_{kind ∈ samples, real} (O - E)² / E,   E = (images of this kind) · (images in this cell) / (all images)

    The cells are those of a Voronoi tessellation: of a draw, `cells` random images of both sets are the centres and are not counted,
    and every other image falls into the cell of the centre nearest to it. If both sets come from one distribution, χ² has about the
    χ² distribution with `cells` - 1 degrees of freedom, whatever the features are. Copies of real images, and samples that depend on each
    other, have other counts than independent ones. Empty cells are left out, and χ² is scaled to the degrees of freedom of all.

    Args:
        samples, real: features (n, d) and (m, d).
        draws: number of tessellations.
        cells: number of cells of each.
        generator: draws the centres.

    References:
        Lemos et al., PQMass: probabilistic assessment of the quality of generative models using probability mass estimation, 2024
        (arXiv 2402.04355), section 3.

    Raises:
        ValueError: fewer than two cells, or too few images for them.
    """
    both = torch.cat([samples, real])
    if cells < 2 or len(both) < cells * LEAST_IN_CELL:
        raise ValueError(f"{cells} cells need at least {max(cells, 2) * LEAST_IN_CELL} images, got {len(both)}")
    is_sample = torch.arange(len(both)) < len(samples)
    centres = torch.stack([torch.randperm(len(both), generator=generator)[:cells] for _ in range(draws)])
    squared = squared_distances(both, both[centres.flatten()])
    cell = torch.cat([part.view(-1, draws, cells).argmin(2) for _, part in squared])  # (n + m, draws)
    values = []
    for draw in range(draws):
        counted = torch.ones(len(both), dtype=torch.bool)
        counted[centres[draw]] = False
        of_kinds = (cell[counted & kind, draw] for kind in (is_sample, ~is_sample))
        values.append(chi_square(torch.stack([torch.bincount(one, minlength=cells) for one in of_kinds])))
    return torch.tensor(values, dtype=torch.float64)


def chi_square(counts: Tensor) -> float:
    """Return Pearson's χ² of counts (2, cells), scaled from the degrees of freedom of the filled cells to those of all; 0 for one cell."""
    filled = counts[:, counts.sum(0) > 0].double()
    if filled.shape[1] < 2:
        return 0.0
    expected = filled.sum(1, keepdim=True) * filled.sum(0) / filled.sum()
    value = ((filled - expected).square() / expected).sum().item()
    return value * (counts.shape[1] - 1) / (filled.shape[1] - 1)
