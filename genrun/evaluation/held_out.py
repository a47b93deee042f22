"""What a method says of test images: how well it rebuilds them, and how likely it holds them to be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from genrun.evaluation.rows import Row
from genrun.sampling import seeded
from genrun.types import Bounded, Density, Reconstructs

if TYPE_CHECKING:
    from genrun.data.module import ImageData
    from genrun.methods.method import Method

WINDOW = 11  # pixels, of the structural similarity's Gaussian; less where images are smaller


def reconstruction_rows(method: Method, data: ImageData, most: int, chunk: int) -> list[Row]:
    """Errors of test images rebuilt by the method, on [0, 1], and their structural similarity; none where it cannot."""
    if not most or not isinstance(method, Reconstructs):
        return []
    count = min(most, len(data.test))
    sums = torch.zeros(3, dtype=torch.float64)
    for part in torch.arange(count).split(chunk):
        images = data.test.images(part).to(method.device)
        labels = data.test.labels[part].to(method.device) if method.num_classes else None
        rebuilt = method.reconstruct(images, labels)
        sums += torch.stack([each.double().sum().cpu() for each in errors(rebuilt, images)])
    names = "reconstruction, mean squared error", "reconstruction, mean absolute error", "reconstruction, SSIM"
    return [
        Row(name, total / count, count=count, protocol=f"{count:,} test images")
        for name, total in zip(names, sums.tolist(), strict=True)
    ]


def errors(rebuilt: Tensor, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean squared error, mean absolute error and structural similarity of each image: (n, C, H, W) → three times (n,)."""
    difference = rebuilt - images
    window = min(WINDOW, (min(images.shape[2:]) - 1) // 2 * 2 + 1)
    similarity = structural_similarity_index_measure(
        rebuilt, images, gaussian_kernel=True, sigma=1.5 * window / WINDOW, data_range=1.0, reduction="none"
    )
    return difference.square().mean((1, 2, 3)), difference.abs().mean((1, 2, 3)), similarity


def likelihood_rows(method: Method, data: ImageData, most: int, chunk: int, seed: int) -> list[Row]:
    r"""Bits per dimension of test images, of a method that has a density or a lower bound of it; none of others.

    With x ∈ {0, …, 255}^D made continuous by u ~ U[0, 1)^D, the density p of (x + u)/256 gives

        bits per dimension = -log₂ p((x + u)/256) / D + 8

    (8 = log₂ 256: the width of a grey level), an upper bound of the discrete model's.

    References:
        Theis, van den Oord and Bethge, A note on the evaluation of generative models, 2016, section 3.1.
    """
    kinds = [
        ("bits per dimension", isinstance(method, Density) and method.log_prob, ""),
        (
            "bits per dimension, upper bound",
            isinstance(method, Bounded) and method.elbo,
            "from the evidence lower bound",
        ),
    ]
    rows = []
    for name, nats, note in kinds if most else []:
        if not nats:
            continue
        count, generator, total = min(most, len(data.test)), seeded(seed), 0.0
        for part in torch.arange(count).split(chunk):
            pixels = data.test.pixels(part)
            images = (pixels + torch.rand(pixels.shape, generator=generator)) / 256
            total += nats(images.to(method.device)).double().sum().item()
        dimensions = math.prod(method.image_shape)
        bits = 8 - total / (count * dimensions * math.log(2))
        rows.append(Row(name, bits, count=count, protocol=f"{count:,} test images, dequantised", note=note))
    return rows
