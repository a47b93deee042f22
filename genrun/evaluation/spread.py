"""The spread of what real images get: how much a metric of as many real images changes from draw to draw."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from genrun.inference import seeded

PARTS = 5  # disjoint sets of real images, where a metric depends on pairs of images
DRAWS = 20  # draws with replacement, where it depends on single ones


def parts_of(features: Tensor, n: int) -> list[Tensor]:
    """Return disjoint parts of real images' features (N, d), each of n images, or of a fifth of them if that is less."""
    size = min(n, len(features) // PARTS)
    return [features[k * size : (k + 1) * size] for k in range(PARTS)]


def deviation(values: Sequence[float | None]) -> float | None:
    """Return the standard deviation of a metric over draws; None if it is missing for one of them."""
    if len(values) < 2 or None in values:
        return None
    return torch.tensor(values, dtype=torch.float64).std().item()


def resampled(statistic: Callable[[Tensor], float | None], count: int, n: int) -> float:
    """Return the deviation of a statistic of n of `count` real images, drawn with replacement; NaN if a draw has none.

    Args:
        statistic: indices (n,) → its value.
    """
    generator = seeded(0)
    found = (
        deviation([statistic(torch.randint(count, (n,), generator=generator)) for _ in range(DRAWS)]) if count else None
    )
    return math.nan if found is None else found


def of_share(share: float, n: int) -> float:
    """Return the standard deviation of a share among n independent images, √(p (1 - p) / n)."""
    return math.sqrt(share * (1 - share) / n)
