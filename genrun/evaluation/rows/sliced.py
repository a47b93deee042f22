"""The row of the sliced Wasserstein distance between samples and real images, in pixels."""

from __future__ import annotations

from torch import Tensor

from genrun.evaluation.real import RealImages
from genrun.evaluation.rows.row import Row
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
    )
