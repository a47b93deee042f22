"""The row of the sliced Wasserstein distance between samples and real images, in pixels."""

from __future__ import annotations

import math

from torch import Tensor

from genrun.evaluation.cache import as_tensors
from genrun.evaluation.real import RealImages
from genrun.evaluation.rows.row import Row
from genrun.evaluation.spread import deviation, parts_of
from genrun.inference import seeded
from genrun.maths.transport import random_directions, sliced_wasserstein


def sliced_row(real: RealImages, images: Tensor, directions: int, seed: int) -> Row:
    """Return the row of the distance of samples to test images; its floor is that of as many training images.

    Args:
        images: (n, C, H, W) uint8.
        directions: number of random directions.
        seed: of the directions.
    """
    test = real.images("test").decoded().array
    train = real.images("train").decoded().array[: len(images)]
    slices = random_directions(directions, images[0].numel(), seeded(seed))

    def distance(some: Tensor) -> float:
        x, y = (part.flatten(1).T.float().div(255).contiguous() for part in (some, test))
        return sliced_wasserstein(x, y, slices).item()

    def of_parts() -> dict[str, Tensor]:
        """Return the deviation over parts of the training images, scaled to as many as give the floor."""
        parts = parts_of(real.images("train").decoded().array, len(images))
        found = deviation([distance(part) for part in parts]) if len(parts[0]) else None
        spread = math.nan if found is None else found * math.sqrt(len(parts[0]) / len(train))
        return as_tensors({"spread": spread})

    protocol = f"pixels of {len(images):,} samples and {len(test):,} test images, {directions} directions"
    floor_count = len(train) if len(train) != len(images) else None
    return Row(
        "sliced Wasserstein distance",
        distance(images),
        distance(train),
        floor_count,
        count=len(images),
        protocol=protocol,
        best="low",
        floor_spread=real.statistics(f"sliced-spread-{len(images)}-{directions}-{seed}", of_parts)["spread"].item(),
    )
