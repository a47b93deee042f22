"""Ladders of spoilt real images: fog, blur, grain, missing classes and others, step by step worse, each step marked by eye.

A judge of images must agree with the marks. The same images and an equally seeded generator give the same spoilt images.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional as F
from torchvision.io import decode_jpeg, encode_jpeg
from torchvision.transforms.v2.functional import gaussian_blur

from genrun.evaluation.augmentation import moved

INVISIBLE, BARELY, PLAIN = "invisible", "barely", "plain"
IMAGE, VARIETY, LABELS = "image", "variety", "labels"  # what a ladder spoils
SOFT = 5  # cells along each side of the random patches of soft fog, and of the random shifts of a warp
DARK = 8  # of 255: a border that is mostly darker is a background
SMALL = 16  # pixels: on images with a shorter side less than this, most changes are seen sooner


class Batch(NamedTuple):
    """Images (n, C, H, W) uint8 and their labels (n,) int64, -1 where there are none."""

    images: Tensor
    labels: Tensor


class Step(NamedTuple):
    """A step of a ladder.

    Args:
        amount: how much is spoilt, in the unit of the ladder.
        mark: `invisible`, `barely` or `plain`: how visible it is to a person who looks at a grid of such images.
        spoil: (images, generator) → spoilt images.
    """

    amount: float
    mark: str
    spoil: Callable[[Batch, Generator], Batch]


class Ladder(NamedTuple):
    """Steps of one kind of damage, from less to more.

    Args:
        name: of the damage.
        unit: of its amounts.
        spoils: `image`, `variety` (each image is real) or `labels`.
        steps: the steps.
    """

    name: str
    unit: str
    spoils: str
    steps: list[Step]


def ladders(some: Tensor, num_classes: int) -> list[Ladder]:
    """Return the ladders for images like these (n, C, H, W) uint8.

    The amounts and marks depend on the size of the images and on whether they have a dark background, because that decides what
    a person sees: on a black background, fog and holes are seen where they would not be on a photograph.
    """
    dark, small = has_background(some), min(some.shape[2:]) < SMALL

    def ladder(
        name: str,
        unit: str,
        spoil: Callable[..., Tensor],
        invisible: list[float],
        barely: list[float],
        plain: list[float],
    ) -> Ladder:
        marks = [(INVISIBLE, invisible), (BARELY, barely), (PLAIN, plain)]
        return Ladder(
            name,
            unit,
            IMAGE,
            [Step(amount, mark, on_images(spoil, amount)) for mark, amounts in marks for amount in amounts],
        )

    seen = 0.08 if dark else 0.2  # even grey that is seen plainly: on black sooner than on a photograph
    made = [
        ladder("fog, even", "of white", even_fog, [0.008, 0.016], [0.03, 0.05], [seen, seen + 0.02, 2.5 * seen]),
        ladder("fog, soft", "of white, at most", soft_fog, [0.016], [0.05, 0.1], [0.2, 0.3] if dark else [0.4, 0.6]),
        ladder("blur", "pixel", blur, [0.25, 0.3], [0.4, 0.5], [0.6, 0.8, 1.0] if small else [0.8, 1.0, 1.5]),
        ladder("contrast", "lost", partial(less_contrast, dark=dark), [0.015], [0.05, 0.1], [0.3, 0.5, 0.7]),
        ladder("grain", "deviation", grain, [0.004, 0.01], [0.02, 0.03, 0.05], [0.08, 0.1, 0.2]),
        ladder("salt", "of the pixels", salt, [], [0.001], [0.03, 0.1] if small else [0.005, 0.01, 0.03]),
        ladder("shift", "pixels", shift, [0.1], [0.5, 1] if small else [0.5, 1, 2], [2] if small else []),
        ladder("warp", "pixels", warp, [0.1], [0.3, 0.5], [1.0, 1.5] if dark else [2.0, 3.0]),
        ladder("JPEG", "100 - quality", jpeg, [2], [5, 15, 40], [70, 90]),
        ladder("hole", "pixels wide", partial(hole, dark=dark), [], [1], [2, 4] if small else [4, 8, 12]),
        ladder("overlaid", "share of another image", overlaid, [0.015], [0.05], [0.2, 0.35, 0.5]),
    ]
    if dark:
        made += [
            ladder("fog, floor", "of white", floor_fog, [0.008, 0.016], [0.03, 0.05], [0.08, 0.1, 0.2]),
            ladder("thinner strokes", "of a pixel", thinner, [0.015], [0.1, 0.25], [0.6, 1.0]),
            ladder("thicker strokes", "of a pixel", thicker, [0.015], [0.1, 0.25], [0.6, 1.0]),
        ]
    if num_classes > 1:
        wrong = [Step(share, PLAIN, partial(wrong_labels, share=share)) for share in (0.1, 0.5)]
        absent = [Step(k, PLAIN, partial(missing_classes, count=k)) for k in (1, 2, 5) if k < num_classes]
        made += [Ladder("wrong labels", "share", LABELS, wrong), Ladder("missing classes", "classes", VARIETY, absent)]
    made += [
        Ladder("half the variety", "", VARIETY, [Step(0.5, PLAIN, plainest_half)]),
        Ladder("copies", "of each image", VARIETY, [Step(k, PLAIN, partial(copies, count=k)) for k in (5, 20)]),
    ]
    return made


def has_background(images: Tensor) -> bool:
    """Return whether most of the border of images (n, C, H, W) uint8 is dark."""
    border = torch.cat([images[..., 0, :], images[..., -1, :], images[..., 0], images[..., -1]], 2)
    return (border < DARK).float().mean().item() > 0.5


def on_images(spoil: Callable[..., Tensor], amount: float) -> Callable[[Batch, Generator], Batch]:
    """Return a function of batches that changes the images, given on [0, 1], and keeps the labels."""

    def changed(batch: Batch, generator: Generator) -> Batch:
        made = spoil(batch.images.float() / 255, amount, generator)
        return batch._replace(images=made.clamp(0, 1).mul(255).round().to(torch.uint8))

    return changed


# ---------------------------------------------------------------------------------------------------- changes of an image
# images (n, C, H, W) in [0, 1], an amount and a generator → changed images


def even_fog(images: Tensor, amount: float, generator: Generator) -> Tensor:
    """Add a grey."""
    return images + amount


def soft_fog(images: Tensor, amount: float, generator: Generator) -> Tensor:
    """Add smooth random patches, each up to the amount."""
    patches = torch.rand(len(images), 1, SOFT, SOFT, generator=generator)
    return images + amount * F.interpolate(patches, size=images.shape[2:], mode="bilinear", align_corners=False)


def floor_fog(images: Tensor, amount: float, generator: Generator) -> Tensor:
    """Fill what is darker than a grey."""
    return images.clamp(min=amount)


def blur(images: Tensor, amount: float, generator: Generator) -> Tensor:
    """Blur by a Gaussian with this standard deviation."""
    width = 2 * int(3 * amount + 1) + 1
    width = min(width, 2 * min(images.shape[2:]) - 1)
    return gaussian_blur(images, [width, width], [amount, amount])


def less_contrast(images: Tensor, amount: float, generator: Generator, *, dark: bool) -> Tensor:
    """Move each image towards its background: black, or its mean if there is none."""
    return images * (1 - amount) + (0 if dark else amount * images.mean((1, 2, 3), keepdim=True))


def grain(images: Tensor, amount: float, generator: Generator) -> Tensor:
    """Add Gaussian noise."""
    return images + amount * torch.randn(images.shape, generator=generator)


def salt(images: Tensor, amount: float, generator: Generator) -> Tensor:
    """Make random pixels white."""
    chosen = torch.rand(len(images), 1, *images.shape[2:], generator=generator) < amount
    return torch.where(chosen, torch.ones(()), images)


def shift(images: Tensor, amount: float, generator: Generator) -> Tensor:
    """Shift each image by this number of pixels in a random direction."""
    angle = 2 * torch.pi * torch.rand(len(images), generator=generator)
    moves = amount * torch.stack([angle.cos(), angle.sin()], 1)
    return moved(images, moves[:, :, None, None].expand(-1, -1, *images.shape[2:]))


def warp(images: Tensor, amount: float, generator: Generator) -> Tensor:
    """Move the pixels by a smooth random field with this standard deviation, in pixels."""
    coarse = amount * torch.randn(len(images), 2, SOFT, SOFT, generator=generator)
    return moved(images, F.interpolate(coarse, size=images.shape[2:], mode="bicubic", align_corners=True))


def jpeg(images: Tensor, amount: float, generator: Generator) -> Tensor:
    """Compress as JPEG with a quality of 100 less the amount."""
    pixels = images.mul(255).round().to(torch.uint8)
    return torch.stack([decode_jpeg(encode_jpeg(image, round(100 - amount))) for image in pixels]) / 255


def hole(images: Tensor, amount: float, generator: Generator, *, dark: bool) -> Tensor:
    """Cut a square hole at a random place in the middle: black, or grey if there is no background."""
    return torch.where(_square(images, amount, generator), torch.tensor(0.0 if dark else 0.5), images)


def _square(images: Tensor, amount: float, generator: Generator) -> Tensor:
    """Return a mask (n, 1, H, W) of a square at a random place in the middle of each image, six tenths of the sides wide."""
    inside = []
    for side in images.shape[2:]:
        most = max(0, round(side * 0.6 - amount))
        start = (side - most - amount) // 2 + torch.randint(0, most + 1, (len(images), 1), generator=generator)
        place = torch.arange(side)
        inside.append((place >= start) & (place < start + amount))
    down, across = inside
    return down[:, None, :, None] & across[:, None, None, :]


def overlaid(images: Tensor, amount: float, generator: Generator) -> Tensor:
    """Mix each image with another."""
    return torch.lerp(images, images[torch.randperm(len(images), generator=generator)], amount)


def thinner(images: Tensor, amount: float, generator: Generator) -> Tensor:
    """Mix each image with its erosion by a cross of three pixels."""
    return images + amount * (-_dilated(-images) - images)


def thicker(images: Tensor, amount: float, generator: Generator) -> Tensor:
    """Mix each image with its dilation by a cross of three pixels."""
    return images + amount * (_dilated(images) - images)


def _dilated(images: Tensor) -> Tensor:
    """Return the largest value of each pixel and its four neighbours."""
    return torch.maximum(F.max_pool2d(images, (3, 1), 1, (1, 0)), F.max_pool2d(images, (1, 3), 1, (0, 1)))


# ---------------------------------------------------------------------------------------------------- changes of the set


def wrong_labels(batch: Batch, generator: Generator, *, share: float) -> Batch:
    """Give a share of the images the label of another image."""
    n = len(batch.labels)
    chosen = torch.randperm(n, generator=generator)[: round(share * n)]
    labels = batch.labels.clone()
    labels[chosen] = batch.labels[chosen.roll(1)]
    return batch._replace(labels=labels)


def missing_classes(batch: Batch, generator: Generator, *, count: int) -> Batch:
    """Leave out the images of the last classes, and repeat none in their place."""
    return _taken(batch, batch.labels <= batch.labels.max() - count)


def plainest_half(batch: Batch, generator: Generator) -> Batch:
    """Keep the half of each class that is nearest to the mean image of the class."""
    keep = torch.zeros(len(batch.labels), dtype=torch.bool)
    for label in batch.labels.unique():
        members = (batch.labels == label).nonzero().squeeze(1)
        images = batch.images[members].float().flatten(1)
        away = (images - images.mean(0)).square().sum(1)
        keep[members[away.argsort()[: -(-len(members) // 2)]]] = True
    return _taken(batch, keep)


def copies(batch: Batch, generator: Generator, *, count: int) -> Batch:
    """Keep so few images that each comes `count` times."""
    few = torch.randperm(len(batch.labels), generator=generator)[: max(1, len(batch.labels) // count)]
    order = few.repeat(count + 1)[: len(batch.labels)]
    return Batch(batch.images[order], batch.labels[order])


def _taken(batch: Batch, keep: Tensor) -> Batch:
    return Batch(batch.images[keep], batch.labels[keep])
