"""Data augmentation for the judge's classifiers: slight random changes that keep an image's class.

Without augmentation, a classifier takes faint grey beside strokes, or a little blur, for another class. The robust classifier, which
recognises classes, must not: it sees changes that a person notices. The observer, in whose features images are compared, must
notice what a person notices: it sees only changes that hardly anybody does.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def augment(images: Tensor) -> Tensor:
    """Apply the slight changes to images (n, C, H, W) in [0, 1], each to a random part of them; classes stay the same."""
    return add_noise(add_haze(darken(blur(shift_and_warp(images)))))


def augment_invisibly(images: Tensor, share: float = 0.5) -> Tensor:
    """Change images (n, C, H, W) in [0, 1] as hardly anybody sees, each change with a probability of `share`; classes stay the same.

    The changes: a shift by at most half a pixel each way, a warp by at most a fifth of a pixel (deviation), a loss of at most 5 % of the
    contrast, fog of at most 0.04, noise with a deviation of at most 0.012.
    """
    n, _, height, width = images.shape

    def some() -> Tensor:
        return (torch.rand(n, 1, 1, 1) < share) * torch.rand(n, 1, 1, 1)

    warps = 0.2 * some() * torch.randn(n, 2, 5, 5)
    shifts = (torch.rand(n, 2, 1, 1) - 0.5) * (torch.rand(n, 1, 1, 1) < share)
    moves = shifts + F.interpolate(warps, size=(height, width), mode="bicubic", align_corners=True)
    images = moved(images, moves).clamp(0, 1)
    images = add_haze(images * (1 - 0.05 * some()), share, 0.04)
    return (images + 0.012 * some() * torch.randn_like(images)).clamp(0, 1)


def moved(images: Tensor, moves: Tensor) -> Tensor:
    """Move the pixels of images by (n, 2, H, W) pixels to the right and down; cubic between pixels, the border continued."""
    n, _, height, width = images.shape
    still = F.affine_grid(torch.eye(2, 3).expand(n, 2, 3), list(images.shape), align_corners=False)
    grid = still - moves.permute(0, 2, 3, 1) * 2 / torch.tensor([width, height])
    return F.grid_sample(images, grid, mode="bicubic", padding_mode="border", align_corners=False)


def shift_and_warp(images: Tensor, share: float = 0.5, warped: float = 0.2) -> Tensor:
    """Shift each image by whole pixels with probability `share`, and warp it with probability `warped`.

    A shift is at most a fourteenth of the side. A warp turns by at most 12 degrees, stretches by e^±0.12 along each side
    and slants by ±0.15. Pixels from outside the image are black.
    """
    n, _, height, width = images.shape

    def between(bound: float) -> Tensor:
        return (2 * torch.rand(n) - 1) * bound

    shift = (torch.rand(n) < share).float()
    right, down = (
        # in the coordinates of grid_sample a side has length 2; a shift by whole pixels does not change their values
        shift * torch.randint(-most, most + 1, (n,)) * 2 / side
        for side, most in ((width, max(1, round(width / 14))), (height, max(1, round(height / 14))))
    )
    warp = (torch.rand(n) < warped).float()
    angle, slant = warp * between(math.radians(12)), warp * between(0.15)
    across, along = (warp * between(0.12)).exp(), (warp * between(0.12)).exp()
    aspect = height / width
    rows = [
        torch.stack([across * angle.cos(), along * (slant - angle.sin()) * aspect, right], 1),
        torch.stack([across * angle.sin() / aspect, along * angle.cos(), down], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def blur(images: Tensor, share: float = 0.05) -> Tensor:
    """Blur a random `share` of the images with (a, 1 - 2a, a) along both sides, 0 < a < 1/3."""
    chosen = random_indices(images, share)
    part = images[chosen]
    a = torch.rand(len(chosen), 1, 1, 1) / 3
    rows = F.pad(part, (0, 0, 1, 1), mode="replicate")
    part = a * (rows[:, :, :-2] + rows[:, :, 2:]) + (1 - 2 * a) * part
    columns = F.pad(part, (1, 1, 0, 0), mode="replicate")
    part = a * (columns[:, :, :, :-2] + columns[:, :, :, 2:]) + (1 - 2 * a) * part
    return images.index_copy(0, chosen, part)


def darken(images: Tensor, share: float = 0.09, least: float = 0.5) -> Tensor:
    """Multiply a random `share` of the images by factors between `least` and 1."""
    chosen = random_indices(images, share)
    factor = least + (1 - least) * torch.rand(len(chosen), 1, 1, 1)
    return images.index_copy(0, chosen, images[chosen] * factor)


def add_haze(images: Tensor, share: float = 0.12, most: float = 0.25) -> Tensor:
    """Lay a grey of at most `most` over a random `share` of the images.

    The grey is even or in soft patches. It is added to the image, or replaces the pixels that are darker than it.
    """
    chosen = random_indices(images, share)
    part, k = images[chosen], len(chosen)

    def coin(p: float) -> Tensor:
        return torch.rand(k, 1, 1, 1) < p

    patches = torch.where(coin(0.4), torch.ones(()), torch.rand(k, 1, 5, 5))
    grey = F.interpolate(patches, size=images.shape[2:], mode="bilinear", align_corners=False)
    grey = grey * torch.rand(k, 1, 1, 1) * most
    part = torch.where(coin(0.5), torch.maximum(part, grey), (part + grey).clamp(max=1))
    return images.index_copy(0, chosen, part)


def add_noise(images: Tensor, share: float = 0.09, most: float = 0.12) -> Tensor:
    """Add Gaussian noise with a standard deviation of at most `most` to a random `share` of the images."""
    chosen = random_indices(images, share)
    part = images[chosen]
    part = part + torch.randn_like(part) * torch.rand(len(chosen), 1, 1, 1) * most
    return images.index_copy(0, chosen, part.clamp(0, 1))


def random_indices(images: Tensor, share: float) -> Tensor:
    """Return the indices of a random `share` of the images."""
    return torch.randperm(len(images))[: round(share * len(images))]
