"""Images of random blots in memory, as many and as large as a scaling row asks for."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from genrun.data.images import Source, Stored

BLOTS = 1000  # different images; the others repeat them
TEST = 100  # images of the test split


def blots(number: int, side: int) -> Source:
    """Make grey images with labels of ten classes in turn.

    Args:
        number: of training images.
        side: of each, in pixels.
    """
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(min(BLOTS, number), 1, 4, 4, generator=generator)
    some = F.interpolate(coarse, size=side, mode="bilinear").mul(255).byte()
    array = some.index_select(0, torch.arange(number) % len(some))
    train = Stored(array=array, labels=torch.arange(number) % 10)
    return Source(train, train.take(torch.arange(TEST) % number), tuple("0123456789"), f"blots {number} {side}", [])
