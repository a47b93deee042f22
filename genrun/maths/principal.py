"""Principal components of codes and of images."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Principal(NamedTuple):
    """The principal components of N codes of D values, k = min(N, D), in float64.

    Their signs are arbitrary: the largest entry of each is positive, so that every machine shows the same.
    """

    mean: Tensor  # (D,)
    components: Tensor  # (k, D), of length 1
    deviations: Tensor  # (k,), standard deviations of the codes along them
    shares: Tensor  # (k,), of the variance


def principal_components(codes: Tensor) -> Principal:
    """Return the principal components of codes (N, D), on the CPU.

    Raises:
        ValueError: fewer than two codes, codes of another shape, or codes that are not finite.
    """
    if codes.ndim != 2 or len(codes) < 2 or not codes.shape[1]:
        raise ValueError(f"codes must be (N, D) with N ≥ 2 and D ≥ 1, got shape {tuple(codes.shape)}")
    if not torch.isfinite(codes).all():
        raise ValueError("codes must be finite, got NaN or Inf")
    wide = codes.detach().cpu().double()
    mean = wide.mean(0)
    _, singular, components = torch.linalg.svd(wide - mean, full_matrices=False)
    largest = components.gather(1, components.abs().argmax(1, keepdim=True))
    variances = singular.square() / (len(codes) - 1)
    shares = variances / variances.sum().clamp_min(torch.finfo(torch.float64).tiny)
    return Principal(mean, components * largest.sign(), variances.sqrt(), shares)


def scores_within_classes(
    images: Callable[[Tensor], Tensor], labels: Tensor, num_classes: int, most: int, side: int = 32, chunk: int = 2048
) -> Tensor:
    """Return the principal components' scores of images, from which the mean image of their class was subtracted.

    Args:
        images: returns the images of given indices: (n,) → (n, C, H, W). An image with more than side×side pixels is scaled down.
        labels: (N,), of all images.
        most: D, the number of components; the largest come first.

    Returns:
        (N, min(D, number of values of an image)) float32, on the CPU.
    """

    def rows(index: Tensor) -> Tensor:
        some = images(index).cpu().float()
        return F.adaptive_avg_pool2d(some, [min(side, length) for length in some.shape[2:]]).flatten(1)

    labels, parts = labels.cpu(), torch.arange(len(labels)).split(chunk)
    size = rows(parts[0][:1]).shape[1]
    sums, products = torch.zeros(num_classes, size).double(), torch.zeros(size, size).double()
    for part in parts:
        some = rows(part).double()
        sums.index_add_(0, labels[part], some)
        products += some.T @ some
    counts = labels.bincount(minlength=num_classes).clamp(min=1).unsqueeze(1)
    scatter = products - (sums / counts).T @ sums  # Σ (x - μ_y)(x - μ_y)ᵀ
    components = torch.linalg.eigh((scatter + scatter.T) / 2)[1].flip(1)[:, :most]  # (size, D)
    components = (components * components.gather(0, components.abs().argmax(0, keepdim=True)).sign()).float()
    means = (sums / counts).float()
    return torch.cat([(rows(part) - means[labels[part]]) @ components for part in parts])
