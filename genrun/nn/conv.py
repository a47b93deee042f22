"""Strided convolutions between images and vectors, for discriminators and encoders, generators and decoders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

Activation = Literal["relu", "leaky_relu", "silu"]

SMALLEST = 7  # pixels of the longer side, at which halving ends


class ConvEncoder(nn.Module):
    """4×4 convolutions with a stride of 2 and w, 2w, 4w, … channels down to 7 pixels or less, then linear layers.

    Args:
        image_shape: (C, H, W).
        outputs: length of the vector.
        width: w.
        hidden: units of a linear layer between; 0: none.
        activation: behind every layer but the last.
        batch_norm: normalise the channels of every convolution but the first over the batch.
        batch_deviation: the last linear layer sees the mean standard deviation over the batch too, which tells images that are all alike
            (Karras et al., Progressive growing of GANs, 2018).
        spectral_norm: divide every layer's weights by their largest singular value (Miyato et al., 2018).

    Shape: (n, C, H, W) → (n, outputs).
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        outputs: int,
        width: int = 32,
        hidden: int = 0,
        activation: Activation = "leaky_relu",
        batch_norm: bool = False,
        batch_deviation: bool = False,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        before, *_ = image_shape
        sizes = halvings(image_shape)
        layers: list[nn.Module] = []
        for place in range(len(sizes) - 1):
            after = width * 2**place
            layers.append(normed(nn.Conv2d(before, after, 4, stride=2, padding=1), spectral_norm))
            layers += [nn.BatchNorm2d(after)] if batch_norm and place else []
            layers.append(activated(activation))
            before = after
        layers.append(nn.Flatten())
        before *= math.prod(sizes[-1])
        if hidden:
            layers += [normed(nn.Linear(before, hidden), spectral_norm), activated(activation)]
            before = hidden
        if batch_deviation:
            layers.append(BatchDeviation())
            before += 1
        self.layers = nn.Sequential(*layers, normed(nn.Linear(before, outputs), spectral_norm))
        self.to(memory_format=torch.channels_last)
        self.padding = padding(image_shape, sizes)

    def forward(self, images: Tensor) -> Tensor:
        images = nn.functional.pad(images, self.padding)
        return self.layers(images.contiguous(memory_format=torch.channels_last))


class ConvDecoder(nn.Module):
    """Linear layers to at most 7 pixels, then 4×4 transposed convolutions with a stride of 2 and …, 4w, 2w, w channels up to the image.

    Args:
        inputs: length of the vector.
        image_shape: (C, H, W).
        width: w.
        hidden: units of a linear layer before; 0: none.
        activation: behind every layer but the last.
        batch_norm: normalise the channels before every transposed convolution over the batch.

    Shape: (n, inputs) → (n, C, H, W).
    """

    def __init__(
        self,
        inputs: int,
        image_shape: Sequence[int],
        width: int = 32,
        hidden: int = 0,
        activation: Activation = "relu",
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.image_shape = tuple(image_shape)
        sizes = halvings(image_shape)
        channels = [width * 2**place for place in reversed(range(len(sizes) - 1))]
        layers: list[nn.Module] = []
        if hidden:
            layers += [nn.Linear(inputs, hidden), activated(activation)]
            inputs = hidden
        start = (channels[0], *sizes[-1])
        layers += [nn.Linear(inputs, math.prod(start)), nn.Unflatten(1, start)]
        for before, after in pairwise([*channels, None]):
            layers += [nn.BatchNorm2d(before)] if batch_norm else []
            layers += [activated(activation), nn.ConvTranspose2d(before, after or image_shape[0], 4, 2, padding=1)]
        self.layers = nn.Sequential(*layers)
        self.to(memory_format=torch.channels_last)

    def forward(self, codes: Tensor) -> Tensor:
        return self.layers(codes)[..., : self.image_shape[1], : self.image_shape[2]]


class BatchDeviation(nn.Module):
    """(n, D) → (n, D + 1): the mean over the D of the standard deviations over the batch stands behind each."""

    def forward(self, x: Tensor) -> Tensor:
        deviation = x.var(0, unbiased=False).add(1e-8).sqrt().mean()
        return torch.cat([x, deviation.expand(len(x), 1)], 1)


def halvings(image_shape: Sequence[int]) -> list[tuple[int, int]]:
    """(H, W) of an image and of its halves, rounded up, once at least and until the longer side has 7 pixels or less."""
    sizes = [tuple(image_shape[1:])]
    while len(sizes) == 1 or max(sizes[-1]) > SMALLEST:
        sizes.append(tuple((side + 1) // 2 for side in sizes[-1]))
    return sizes


def padding(image_shape: Sequence[int], sizes: list[tuple[int, int]]) -> tuple[int, int, int, int]:
    """Zeros at the right and below that let every halving come out even."""
    below, right = (last * 2 ** (len(sizes) - 1) - side for last, side in zip(sizes[-1], image_shape[1:], strict=True))
    return 0, right, 0, below


def normed(layer: nn.Module, by_spectrum: bool) -> nn.Module:
    return spectral_norm(layer) if by_spectrum else layer


def activated(activation: Activation) -> nn.Module:
    return {"relu": nn.ReLU(), "leaky_relu": nn.LeakyReLU(0.2), "silu": nn.SiLU()}[activation]
