"""Figures of a latent space: images decoded over the plane of two components, and along lines between two codes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor

from genrun.figures.grid import HEIGHT, WIDTH, beside, image_grid
from genrun.maths.principal import principal_components

OUTER_QUANTILE = 0.03  # quantile of the first row and column of the plane


def latent_plane(codes: Tensor, decode: Callable[[Tensor], Tensor], *, columns: int = 15) -> Image.Image:
    r"""Draw images decoded on a grid in the plane of the first two principal components of codes.

    The codes have mean μ, unit components v_k and standard deviations s_k along them. Image (i, j) is decoded from

        μ + s₁ Φ⁻¹(q_j) v₁ + s₂ Φ⁻¹(q_i) v₂,   q = 0.03 … 0.97 in equal steps,

    with the first component to the right and the second upwards. The other components stay at the mean. Codes of one
    dimension make one row.

    Args:
        codes: (N, D), N ≥ 2, finite.
        decode: codes (n, D) → images (n, C, H, W) in [0, 1], C = 1 or 3; called once.
        columns: grid points along each component, at least 2.

    Raises:
        ValueError: arguments outside these ranges, or decoded images of another shape.

    References:
        Kingma and Welling, Auto-encoding variational Bayes, 2014, figure 4.
    """
    if columns < 2:
        raise ValueError(f"a plane needs columns ≥ 2, got {columns}")
    mean, components, deviations, shares = principal_components(codes)
    normal = torch.special.ndtri(torch.linspace(OUTER_QUANTILE, 1 - OUTER_QUANTILE, columns, dtype=torch.float64))
    right = normal[:, None] * deviations[0] * components[0]  # (columns, D)
    up = torch.zeros_like(right[:1])
    if len(components) > 1:
        up = normal.flip(0)[:, None] * deviations[1] * components[1]  # (rows, D), the largest on top
    points = mean + (up[:, None] + right).flatten(0, 1)  # (rows·columns, D), row by row
    grid = image_grid(_decoded(decode, points.to(codes)), columns)
    axes = [f"{axis} ({share:.0%})" for axis, share in zip(("→ first", "↑ second"), shares.tolist(), strict=False)]
    return beside([grid], [f"principal components of {len(codes):,} codes, and their variance: {', '.join(axes)}"])


def interpolation(
    images: Tensor, codes: Tensor, decode: Callable[[Tensor], Tensor], *, columns: int = 10
) -> Image.Image:
    """Draw images decoded along straight lines between pairs of codes, with the original images at both ends.

    Args:
        images: (rows, 2, C, H, W) in [0, 1], C = 1 or 3: the images at the start and the end of each line.
        codes: (rows, 2, D), the codes of these images, finite.
        decode: codes (rows·columns, D), line by line → images (rows·columns, C, H, W) in [0, 1]; called once.
        columns: points on each line, including both ends, at least 2.

    Raises:
        ValueError: arguments outside these ranges, or decoded images of another shape.
    """
    if columns < 2:
        raise ValueError(f"an interpolation needs columns ≥ 2, got {columns}")
    if images.ndim != 5 or codes.ndim != 3 or images.shape[:2] != codes.shape[:2] or codes.shape[1] != 2:
        raise ValueError(
            f"interpolation expects images (rows, 2, C, H, W) and codes (rows, 2, D), got {tuple(images.shape)} and {tuple(codes.shape)}"
        )
    _check_finite(codes)
    weights = torch.linspace(0, 1, columns).to(codes)[:, None]  # (columns, 1)
    points = (1 - weights) * codes[:, :1] + weights * codes[:, 1:]  # (rows, columns, D)
    decoded = _decoded(decode, points.flatten(0, 1))
    rows, (height, width) = len(codes), images.shape[-2:]
    scale = max(1, min(round(WIDTH / ((columns + 2) * width)), HEIGHT // (rows * height)))
    left, right = (image_grid(images[:, end], 1, scale=scale) for end in (0, 1))
    middle = image_grid(decoded, columns, scale=scale)
    return beside([left, middle, right], ["image", "decoded along the line between both codes", "image"])


def _check_finite(codes: Tensor) -> None:
    """Raise ValueError if codes are not finite."""
    if not torch.isfinite(codes).all():
        raise ValueError("codes must be finite, got NaN or Inf")


def _decoded(decode: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """Decode codes (n, D) to images (n, C, H, W), and check the shape."""
    images = decode(points)
    if images.ndim != 4 or len(images) != len(points):
        raise ValueError(f"decode must give ({len(points)}, C, H, W) of {len(points)} codes, got {tuple(images.shape)}")
    return images
