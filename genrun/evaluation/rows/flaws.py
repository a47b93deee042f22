"""Rows of flaws that a single image shows: a background that is not as dark as that of real images, and blur."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2.functional import gaussian_blur

from genrun.evaluation.cache import as_tensors
from genrun.evaluation.ladders import has_background
from genrun.evaluation.real import RealImages
from genrun.evaluation.rows.row import Row
from genrun.evaluation.spread import of_share
from genrun.runs.identity import digest

TRAIN = 10_000  # training images at most that say what is real
RARE = 0.001  # share of training images with more grey in the background, or less sharp: beyond, an image is flawed
BLACK = 4  # of 255: nobody sees that a pixel is not darker
CLOSE = 52  # of 255: pixels near one that is lighter than the darkest tenth by more than this show a thing, not the background
NEAR = 5  # pixels: width of the square around a pixel in which it is looked for one that is lighter
AT_ONCE = 1000  # images


def flaw_rows(real: RealImages, images: Tensor) -> list[Row]:
    """Return rows of the share of samples with a grey background, if the data has a dark one, and of blurred samples.

    The floor is the share among test images.

    Args:
        images: the samples (n, C, H, W) uint8.
    """

    def of_real() -> dict[str, Tensor]:
        train, test = (real.images(split, TRAIN).decoded().array for split in ("train", "test"))
        (grey, _), (grey_test, level) = background(train), background(test)
        most, least = grey.nanquantile(1 - RARE).item(), sharpness(train).quantile(RARE).item()
        return as_tensors(
            {
                "dark": float(has_background(train)),
                "most": most,
                "least": least,
                "grey": share_above(grey_test, most),
                "blurred": (sharpness(test) < least).double().mean().item(),
                "level": level.nanmean().item(),
            }
        )

    limits = digest([TRAIN, RARE, BLACK, CLOSE, NEAR], 8)
    known = {name: value.item() for name, value in real.statistics(f"flaws-{limits}", of_real).items()}
    count, rows = len(images), []
    if known["dark"] and not math.isnan(known["most"]):
        grey, levels = background(images)
        seen = int((~grey.isnan()).sum())
        is_grey = grey > known["most"]
        level = levels[is_grey].mean().item() if is_grey.any() else 0.0
        rows.append(
            Row(
                "samples with a grey background",
                share_above(grey, known["most"]) if seen else None,
                known["grey"],
                count=seen,
                protocol=f"more than {100 * known['most']:.2g} % of the pixels of the background above {BLACK} of 255",
                note=grey_note(level, known["level"], seen, count),
                best="low",
                floor_spread=of_share(known["grey"], seen) if seen else None,
                detail=[level, seen / count] if seen else None,
            )
        )
    rows.append(
        Row(
            "blurred samples",
            (sharpness(images) < known["least"]).double().mean().item(),
            known["blurred"],
            count=count,
            protocol=f"less fine detail than {100 - 100 * RARE:g} % of training images",
            best="low",
            floor_spread=of_share(known["blurred"], count),
        )
    )
    return rows


def grey_note(level: float, real: float, seen: int, count: int) -> str:
    """Say how light the grey backgrounds are, and how many samples have a background at all."""
    if not seen:
        return "no sample has a background"
    of = "" if seen == count else f"of {seen:,} samples that have a background; "
    return f"{of}these on average {level:.1f} of 255; real images {real:.1f}"


def background(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the share of grey pixels in the background of images (n, C, H, W) uint8, and its mean level of 255: (n,) each.

    A pixel belongs to the background if no pixel near it is lighter by much than the darkest tenth of the image: so the soft edge of a
    stroke does not count, and fog does, however thick. Both are NaN for an image without such pixels.
    """
    shares, levels = [], []
    for some in images.split(AT_ONCE):
        grey = some.float().mean(1, keepdim=True)
        darkest = grey.flatten(1).quantile(0.1, 1)[:, None, None, None]
        behind = F.max_pool2d(grey, NEAR, 1, NEAR // 2) - darkest < CLOSE
        count = behind.sum((1, 2, 3))
        shares.append((behind & (grey > BLACK)).sum((1, 2, 3)) / count)
        levels.append((behind * grey).sum((1, 2, 3)) / count)
    return torch.cat(shares), torch.cat(levels)


def share_above(values: Tensor, most: float) -> float:
    """Return the share of the values (n,) that are above `most`, without those that are NaN."""
    return (values[~values.isnan()] > most).double().mean().item()


def sharpness(images: Tensor) -> Tensor:
    """Return the share of the energy of images (n, C, H, W) uint8 that a slight blur removes: (n,); 0 for even images."""
    found = []
    for some in images.split(AT_ONCE):
        floats = some.float()
        fine = (floats - gaussian_blur(floats, [5, 5], [1.0, 1.0])).square().mean((1, 2, 3))
        whole = (floats - floats.mean((2, 3), keepdim=True)).square().mean((1, 2, 3))
        found.append(fine / whole.clamp_min(1e-6))
    return torch.cat(found)
