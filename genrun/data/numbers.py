"""Numbers of several digits, composed of MNIST's digits as if written by one hand. They are made in memory, not stored."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from genrun.data.images import SPLIT_SEED, Source, Stored, checksum_of_images, to_square
from genrun.data.module import ImageData
from genrun.data.sources import mnist
from genrun.errors import Refused, nearest

MOST_DIGITS = 4
GAP = 2  # empty pixels between neighbouring digits where they are closest
TUCK = 3  # columns by which a digit may overlap those of the digits before it, as a 4 under the bar of a 7
HANDS = 8  # levels of pen strength, and of slant within each: 64 "hands"; the digits of a number share one


class NumbersData(ImageData):
    """A data module of numbers of several digits.

    Args:
        source: reads the numbers, given `digits`.
        digits: number of digits in each number, 1 to 4.
        options: the options of `ImageData`.
    """

    resized_from = "each in a black square"

    def __init__(self, source: Callable[..., Source], digits: int = 2, **options: Any) -> None:
        if not isinstance(digits, int) or isinstance(digits, bool) or not 1 <= digits <= MOST_DIGITS:
            raise Refused(f"data.digits must be a whole number from 1 to {MOST_DIGITS}, got {digits!r}")
        known = inspect.signature(ImageData).parameters
        if unknown := sorted(options.keys() - known):
            raise Refused(f"data.{unknown[0]}: NumbersData takes no such option{nearest(unknown[0], known)}")
        super().__init__(partial(source, digits=digits), **options)


@dataclass(frozen=True, eq=False, kw_only=True)
class Numbers(Stored):
    """Images of numbers in memory. When resized they are padded to a black square, because a crop would cut off their ends."""

    def pixels(self, index: Tensor) -> Tensor:
        chosen = self.array.index_select(0, index)
        if self.size is None:
            return chosen
        missing = max(0, chosen.shape[-1] - chosen.shape[-2])
        return to_square(F.pad(chosen, (0, 0, missing // 2, missing - missing // 2)), self.size)


def mnist_numbers(root: str, digits: int = 2, sha256: Mapping[str, str] | None = None) -> Source:
    """Make numbers of MNIST's digits: 60,000 + 10,000, grey, 28 × (28 + 20·(digits - 1)) pixels, in 10^digits classes.

    The digits of a number come from one split of MNIST, and each image of the split is used once in each place.
    Neighbouring digits have similar pen strength and similar slant. Their empty columns are trimmed, they are aligned
    in height, and each digit is moved to the left until its ink is two pixels from that of the digits before it. No
    ink is cut off, scaled or covered.

    Args:
        root: the folder of all data sets; MNIST is downloaded there if it is missing.
        digits: number of digits in each number, 1 to 4.
        sha256: sha256 of MNIST's official files, by name; None accepts any files of this layout.

    References:
        "Generative Imaging", section 6.4.
    """
    single = mnist(root, sha256)
    splits = [joined(split, digits, f"{Path(root).expanduser()}/MNIST") for split in (single.train, single.test)]
    names = tuple(f"{number:0{digits}d}" for number in range(10**digits))
    return Source(*splits, names, checksum_of_images(*splits), single.files)


def joined(single: Stored, digits: int, what: str) -> Numbers:
    """Join N images of digits (N, 1, H, W) to N numbers (N, 1, H, W + (5/7)·W·(digits - 1)).

    Args:
        single: the images of digits.
        digits: number of digits in each number.
        what: name of the images in the error message.

    Raises:
        Refused: the digits are too wide to fit beside each other.
    """
    labels, images = single.labels.numpy(), single.array[:, 0].numpy()
    orders = same_hand(images, labels, digits)  # (digits, N)
    images = aligned(images)
    left, right = edges(images)
    n, height, width = images.shape
    across = width + width * 5 // 7 * (digits - 1)

    starts = np.zeros((digits, n), np.int64)  # the column at which each digit begins
    reached = right[orders[0]]  # (N, H), the last column with ink in each row so far
    for place, order in enumerate(orders[1:], start=1):
        nearest = (maximum_over_near_rows(reached) - left[order]).max(1) + 1 + GAP
        starts[place] = np.maximum(nearest, reached.max(1) + 1 + GAP - TUCK).clip(0)
        reached = np.maximum(reached, right[order] + starts[place][:, None])
    ends = reached.max(1).clip(-1) + 1
    if ends.max() > across:
        raise Refused(
            f"{what}: a number of {digits} digits would be {ends.max()} pixels wide, expected at most {across}; "
            "data=mnist_numbers needs digits that fill at most five sevenths of their width, as MNIST's do"
        )
    starts += (across - ends) // 2

    array = np.zeros((n, height, across), np.uint8)
    for order, begin in zip(orders, starts, strict=True):
        for start in np.unique(begin):  # all digits that begin at this column, at once
            number = np.flatnonzero(begin == start)
            # ink never overlaps ink
            array[number, :, start : start + width] |= images[order[number], :, : across - start]
    numbers = 0
    for order in orders:
        numbers = 10 * numbers + labels[order]
    return Numbers(array=torch.from_numpy(array).unsqueeze(1), labels=torch.from_numpy(numbers))


def aligned(images: np.ndarray) -> np.ndarray:
    """Return images (N, H, W) with the ink of each moved to the left edge and to the middle of the height."""
    n, height, width = images.shape
    columns, rows = images.any(1), images.any(2)
    first, last = rows.argmax(1), height - 1 - rows[:, ::-1].argmax(1)
    by = (height - 1 - first - last) // 2 * width - columns.argmax(1)
    pixels = images.reshape(n, -1)
    moved = np.empty_like(pixels)
    for step in np.unique(by):
        which = np.flatnonzero(by == step)
        moved[which] = np.roll(pixels[which], step, axis=1)  # only empty pixels wrap around
    return moved.reshape(n, height, width)


def edges(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the last column with ink in each row of (N, H, W), as (N, H) each; far outside for rows without."""
    ink, width = images > 0, images.shape[2]
    some = ink.any(2)
    left, right = ink.argmax(2), width - 1 - ink[:, :, ::-1].argmax(2)
    return np.where(some, left, 2 * width), np.where(some, right, -2 * width)


def maximum_over_near_rows(right: np.ndarray) -> np.ndarray:
    """Return for each row of (N, H) the maximum over it and GAP rows above and below, so that diagonal gaps count too."""
    padded = np.pad(right, ((0, 0), (GAP, GAP)), mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * GAP + 1, axis=1).max(2)


def same_hand(images: np.ndarray, labels: np.ndarray, digits: int) -> np.ndarray:
    """Return a fixed permutation of the N images for each place, (digits, N), so that one hand wrote each number.

    A hand is a level of pen strength and of slant, each relative to images of the same digit, so that every digit meets every other.
    """
    strength, slant = strength_and_slant(images)
    strong = quantile_in_group(strength, labels)
    hand = HANDS * strong + quantile_in_group(slant, HANDS * labels + strong)
    random = np.random.RandomState(SPLIT_SEED)
    orders = [np.lexsort((random.permutation(len(hand)), hand)) for _ in range(digits)]
    return np.stack(orders)[:, random.permutation(len(hand))]


def strength_and_slant(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the amount of ink of images (N, H, W), and their slant in columns per row, cov(across, down) / var(down): (N,) each."""
    down, across = (axis.ravel() for axis in np.mgrid[: images.shape[1], : images.shape[2]])
    moments = np.stack([np.ones_like(down), down, across, down * down, down * across], 1).astype(np.float64)
    # whole numbers in float64: the sums are exact in any order, so every machine makes the same numbers
    sums = np.concatenate(
        [part.reshape(len(part), -1) @ moments for part in np.array_split(images, -(-len(images) // 5000))]
    )
    mass = sums[:, 0]
    y, x, yy, xy = (sums[:, 1:] / np.maximum(mass, 1)[:, None]).T
    return mass, (xy - x * y) / np.maximum(yy - y * y, 1e-9)


def quantile_in_group(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return for each value which of HANDS equal parts of its group it is in, smallest first: (N,) of 0 … HANDS - 1."""
    order = np.lexsort((values, groups))
    sizes = np.bincount(groups)
    first = np.cumsum(sizes) - sizes
    part = np.empty(len(values), np.int64)
    part[order] = (np.arange(len(values)) - first[groups[order]]) * HANDS // sizes[groups[order]]
    return part
