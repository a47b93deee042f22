"""Whether a figure would show anything: images that one can tell apart, codes that are not one point."""

from __future__ import annotations

from torch import Tensor

LEAST_DEVIATION = 0.08  # standard deviation of the pixel that differs most, of white: below it, one sees equal images
LEAST_SPREAD = 1e-6  # of codes, of the largest: below it, only their rounding differs


def look_alike(images: Tensor, labels: Tensor | None = None) -> bool:
    """Return whether one sees no difference between images; with labels, between those of one class, in any class.

    Args:
        images: (n, C, H, W) in [0, 1].
        labels: (n,) the classes that the images were made for; None: they were made for none.
    """
    images = images.float()
    labels = labels if labels is None else labels.to(images.device)
    groups = [images] if labels is None else [images[labels == k] for k in labels.unique()]
    return all(float(group.var(0, correction=0).max().sqrt()) < LEAST_DEVIATION for group in groups)


def are_one_point(codes: Tensor) -> bool:
    """Return whether codes (N, D) are equal but for rounding."""
    codes = codes.double()
    return bool((codes - codes.mean(0)).abs().max() <= LEAST_SPREAD * codes.abs().max())
