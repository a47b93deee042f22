"""Structural similarity of images (SSIM), as a loss and as a measure between many pairs."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

WINDOW = 11  # pixels, side of the Gaussian window; less for smaller images
SIGMA = 1.5  # pixels, its standard deviation, for the full window
C1, C2 = 0.01**2, 0.03**2  # for values in [0, 1]


def structural_similarity(x: Tensor, y: Tensor) -> Tensor:
    r"""Return the mean structural similarity of each pair of images: (n, C, H, W) twice, values in [0, 1] → (n,), at most 1.

        SSIM(x, y) = (2 μ_x μ_y + c₁)(2 σ_xy + c₂) / ((μ_x² + μ_y² + c₁)(σ_x² + σ_y² + c₂))              (13)

    Means, variances and the covariance are those of Gaussian windows of 11×11 pixels (σ = 1.5), and the mean is over all windows that
    lie inside the image and over the channels. In an image with a side below 11 pixels the window is the largest odd one that fits.

    The window is separable, so it is two matrix products, which a processor does faster than a convolution in each channel.

    References:
        Wang et al., Image quality assessment: from error visibility to structural similarity, 2004, equation 13.
    """
    with torch.autocast(x.device.type, enabled=False):  # the variances are differences of near numbers
        kind = torch.promote_types(torch.promote_types(x.dtype, y.dtype), torch.float32)
        x, y = x.to(kind), y.to(kind)
        mean_x, mean_y, xx, yy, xy = windowed(torch.stack([x, y, x * x, y * y, x * y]))
        return similarity_of_moments(mean_x, mean_y, xx, yy, xy).flatten(1).mean(1)


def similarity_of_moments(mean_x: Tensor, mean_y: Tensor, xx: Tensor, yy: Tensor, xy: Tensor) -> Tensor:
    """Return (13) for each window, from the windows' means of x, y, x², y² and xy, all of one shape or broadcast to it."""
    both, squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    upper = (2 * both + C1) * (2 * (xy - both) + C2)
    return upper / ((squares + C1) * (xx + yy - squares + C2))


def windowed(maps: Tensor) -> Tensor:
    """Return the Gaussian windows' means: (…, H, W) → (…, H - k + 1, W - k + 1), where k is the window's side."""
    height, width = maps.shape[-2:]
    side = min(WINDOW, (min(height, width) - 1) // 2 * 2 + 1)
    down, across = (band(size, side, maps.dtype, maps.device) for size in (height, width))
    return down @ maps @ across.T


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # the matrix is kept, and training cannot use a tensor of inference mode
def band(size: int, side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the matrix that takes `size` pixels to the means of a Gaussian window of `side` pixels: (size - side + 1, size)."""
    place = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    weights = torch.exp(-0.5 * (place / (SIGMA * side / WINDOW)) ** 2)
    weights = weights / weights.sum()
    rows = torch.zeros(size - side + 1, size, dtype=torch.float64)
    for row in range(len(rows)):
        rows[row, row : row + side] = weights
    return rows.to(device, dtype)
