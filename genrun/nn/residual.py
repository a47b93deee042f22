"""Residual networks without normalisation, from images to vectors (discriminators) and from vectors to images (generators)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genrun.nn.conv import BatchDeviation
from genrun.nn.strided import StridedConv2d

GAIN = math.sqrt(2 / (1 + 0.2**2))  # of LeakyReLU(0.2): keeps the mean square of what passes


class ResidualEncoder(nn.Module):
    """Residual blocks at each of several resolutions, each half of the one before, then a linear layer.

    At the start, squares of `patch`×`patch` pixels become channels, so that no convolution works at full resolution.

    Args:
        image_shape: (C, H, W).
        outputs: length of the vector.
        widths: channels at each resolution, from the image on.
        blocks: residual blocks at each resolution.
        patch: side of the squares, in pixels.
        batch_deviation: the last layer also sees the mean standard deviation over the batch, which shows when all images are alike (Karras
            et al., Progressive growing of GANs, 2018).

    Shape: (n, C, H, W) → (n, outputs).

    References:
        Huang et al., The GAN is dead; long live the GAN!, 2024, section 3.2 (a network without normalisation or tricks).
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        outputs: int,
        widths: Sequence[int] = (32, 64),
        blocks: int = 1,
        patch: int = 2,
        batch_deviation: bool = True,
    ) -> None:
        super().__init__()
        check(widths, blocks, patch)
        channels, *sides = image_shape
        self.patch, self.multiple = patch, patch * 2 ** (len(widths) - 1)  # H and W are padded to multiples of this
        layers: list[nn.Module] = [nn.Conv2d(channels * patch**2, widths[0], 3, padding=1)]
        for before, after in pairwise([*widths, None]):
            layers += [Block(before) for _ in range(blocks)]
            layers += [StridedConv2d(before, after, 3, stride=2, padding=1)] if after else []
        layers += [nn.LeakyReLU(0.2), nn.Flatten()]
        features = widths[-1] * math.prod(-(-side // self.multiple) for side in sides)
        if batch_deviation:
            layers.append(BatchDeviation())
            features += 1
        self.layers = nn.Sequential(*layers, nn.Linear(features, outputs))
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        images = F.pad(images, (0, -width % self.multiple, 0, -height % self.multiple))
        maps = F.pixel_unshuffle(images, self.patch)
        return self.layers(maps.contiguous(memory_format=torch.channels_last))


class ResidualDecoder(nn.Module):
    """A linear layer, then residual blocks at each of several resolutions, each twice the one before.

    At the end, channels become squares of `patch`×`patch` pixels, so that no convolution works at full resolution.

    Args:
        inputs: length of the vector.
        image_shape: (C, H, W).
        widths: channels at each resolution, up to the image.
        blocks: residual blocks at each resolution.
        patch: side of the squares, in pixels.

    Shape: (n, inputs) → (n, C, H, W).
    """

    def __init__(
        self,
        inputs: int,
        image_shape: Sequence[int],
        widths: Sequence[int] = (64, 32),
        blocks: int = 1,
        patch: int = 2,
    ) -> None:
        super().__init__()
        check(widths, blocks, patch)
        channels, *sides = image_shape
        multiple = patch * 2 ** (len(widths) - 1)
        start = (widths[0], *(-(-side // multiple) for side in sides))
        layers: list[nn.Module] = [nn.Linear(inputs, math.prod(start)), nn.Unflatten(1, start)]
        for before, after in pairwise([*widths, None]):
            layers += [Block(before) for _ in range(blocks)]
            layers += [nn.Conv2d(before, after, 1), nn.Upsample(scale_factor=2, mode="bilinear")] if after else []
        layers += [nn.LeakyReLU(0.2), nn.Conv2d(widths[-1], channels * patch**2, 3, padding=1), nn.PixelShuffle(patch)]
        self.layers = nn.Sequential(*layers)
        self.image_shape = tuple(image_shape)
        self.to(memory_format=torch.channels_last)

    def forward(self, codes: Tensor) -> Tensor:
        return self.layers(codes)[..., : self.image_shape[1], : self.image_shape[2]]


class Block(nn.Module):
    """x + conv(lrelu(conv(lrelu(x)))) with 3×3 convolutions; the last one starts at 0, so that a block starts as its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.normal_(self.conv1.weight, 0, GAIN / math.sqrt(9 * width))
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.leaky_relu(self.conv1(F.leaky_relu(x, 0.2)), 0.2))


def check(widths: Sequence[int], blocks: int, patch: int) -> None:
    """Check the options of a network.

    Raises:
        ValueError: there are no widths, or a number is below 1.
    """
    if not widths or min(*widths, blocks, patch) < 1:
        raise ValueError(
            f"expected at least one width, and numbers of at least 1, got widths {list(widths)}, blocks {blocks}, patch {patch}"
        )
