"""Stacks of convolutions in the style of VGG: ReGene's encoder, which shrinks an image to a code, and its decoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

Init = Literal["torch", "glorot"]
Size = tuple[int, int]

LEAK = 0.3  # slope of the negative side of LeakyReLU
SMALLEST_SIDE = 4  # pixels; the encoder stops halving when the shorter side is this short
DECODER_CONVOLUTIONS = 3  # in each block of the decoder


class VGGEncoder(nn.Module):
    """Blocks of convolutions with a maximum over 2×2 pixels between them, flattened ("Classify and generate", tables A.5 to A.7).

        conv → BN → LeakyReLU(0.3), in each block;  a 28×28 image is halved to 14, 7 and 3 pixels: 3·3·128 = 1152 numbers

    The first and the last block have two convolutions, those between have one. Sides are halved (rounded down) until the shorter one has
    4 pixels or less, so the tables' networks are those of 28×28, 32×32 and 64×64 images.

    Args:
        image_shape: (C, H, W).
        outputs: the expected length of the code; None: do not check.
        width: factor on all numbers of filters; 1 is the document's network.
        filters: filters of the first block, of the blocks between, and of the last convolution.
        blocks: number of blocks, with one halving less; None: from the size of the image.
        convolutions: convolutions in every block; None: as the document's networks.
        kernels: sides of the last block's convolutions, odd; None: 3 each (table A.7 has 9 and 11).
        momentum, epsilon: of batch normalisation, in torch's convention.
        init: `torch`: as torch initialises the weights; `glorot`: uniform in ±√(6/(fan_in + fan_out)), biases 0, as Keras does.

    Shape: (n, C, H, W) → (n, D).

    Raises:
        ValueError: options that do not fit each other or the image.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        outputs: int | None = None,
        width: float = 1.0,
        filters: Sequence[int] = (128, 128, 128),
        blocks: int | None = None,
        convolutions: int | None = None,
        kernels: Sequence[int] | None = None,
        momentum: float = 0.1,
        epsilon: float = 1e-5,
        init: Init = "torch",
    ) -> None:
        super().__init__()
        if len(filters) != 3 or min(filters) < 1 or width <= 0:
            raise ValueError(
                f"model.encoder: expected three numbers of filters, at least 1, and a width above 0, got {list(filters)} and {width}"
            )
        if convolutions is not None and convolutions < 1:
            raise ValueError(f"model.encoder.convolutions: expected at least 1, got {convolutions}")
        sizes = halvings(image_shape, blocks)
        first, between, last = (max(1, round(width * count)) for count in filters)
        counts = [convolutions or (2 if place in (0, len(sizes) - 1) else 1) for place in range(len(sizes))]
        kernels = list(kernels or [3] * counts[-1])
        if len(kernels) != counts[-1] or any(side < 1 or side % 2 == 0 for side in kernels):
            raise ValueError(
                f"model.encoder.kernels: expected {counts[-1]} odd sides, one for each convolution of the last block, got {kernels}"
            )
        layers: list[nn.Module] = []
        before = image_shape[0]
        for block, count in enumerate(counts):
            layers += [nn.MaxPool2d(2)] if block else []
            for place in range(count):
                is_last = block == len(counts) - 1
                after = last if is_last and place == count - 1 else between if block else first
                side = kernels[place] if is_last else 3
                layers += [nn.Conv2d(before, after, side, padding=side // 2)]
                layers += [nn.BatchNorm2d(after, epsilon, momentum), nn.LeakyReLU(LEAK, inplace=True)]
                before = after
        self.layers, self.init = nn.Sequential(*layers, nn.Flatten()), init
        self.num_features = before * math.prod(sizes[-1])
        if outputs not in (None, self.num_features):
            raise ValueError(f"a code of this encoder has {self.num_features} numbers, got code_size {outputs}")
        initialise(self, init)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images.contiguous(memory_format=torch.channels_last))


class VGGDecoder(nn.Module):
    """The code as a small map, then blocks of three convolutions with an upsampling between them ("Classify and generate", A.5 to A.7).

        conv → LeakyReLU(0.3) → BN, in each block;  3 → 5 → 7 → 14 → 28 pixels for images of 28×28

    The sizes are those of `VGGEncoder` in reverse. From 3 to 7 pixels no factor leads, so there the first two convolutions do not crop:
    each gives two pixels more. Elsewhere the nearest pixel is repeated up to the exact size. With a stride of 1, Keras' `Conv2DTranspose`
    is a convolution (its kernel is turned, which learning does not notice), so all layers are convolutions here.

    Args:
        inputs: D, the length of the code.
        image_shape: (C, H, W).
        channels: channels of the output, as logits; None: C. The document has 3 for grey images too.
        width: factor on all numbers of filters; 1 is the document's network.
        filters: filters of the first block, the second, …; the last number is used for all further blocks.
        blocks, momentum, epsilon, init: see `VGGEncoder`.

    Shape: (n, D) → (n, channels, H, W).

    If D is not a multiple of the pixels of the smallest size, the decoder begins further down, at one pixel at last.

    Raises:
        ValueError: D has no such map either, or an option is out of range.
    """

    def __init__(
        self,
        inputs: int,
        image_shape: Sequence[int],
        channels: int | None = None,
        width: float = 1.0,
        filters: Sequence[int] = (512, 256),
        blocks: int | None = None,
        momentum: float = 0.1,
        epsilon: float = 1e-5,
        init: Init = "torch",
    ) -> None:
        super().__init__()
        if not filters or min(filters) < 1 or width <= 0 or (channels is not None and channels < 1):
            raise ValueError(
                "model.decoder: expected numbers of filters and channels, at least 1, and a width above 0, "
                f"got {list(filters)}, {channels} and {width}"
            )
        sizes = halvings(image_shape, blocks)
        while blocks is None and inputs % math.prod(sizes[-1]) and min(sizes[-1]) > 1:
            sizes.append(halved(sizes[-1]))  # a code that is no map, such as DenseNet's means over the pixels
        start, *larger = reversed(sizes)
        if inputs % math.prod(start):
            raise ValueError(
                f"the decoder begins at {start[0]}×{start[1]} pixels: a code of {inputs} numbers has no such map"
            )
        self.channels = channels or image_shape[0]
        before = inputs // math.prod(start)
        growing = uncropped(start, larger[0]) if larger else 0
        larger = larger[1:] if growing else larger
        layers: list[nn.Module] = [nn.Unflatten(1, (before, *start))]
        for block in range(len(larger) + 1):
            after = max(1, round(width * filters[min(block, len(filters) - 1)]))
            for place in range(DECODER_CONVOLUTIONS):
                padding = 2 if block == 0 and place < growing else 1
                layers += [nn.Conv2d(before, after, 3, padding=padding), nn.LeakyReLU(LEAK, inplace=True)]
                layers += [nn.BatchNorm2d(after, epsilon, momentum)]
                before = after
            layers += [nn.Upsample(larger[block])] if block < len(larger) else []
        self.layers = nn.Sequential(*layers, nn.Conv2d(before, self.channels, 3, padding=1))
        initialise(self, init)
        self.to(memory_format=torch.channels_last)

    def forward(self, codes: Tensor) -> Tensor:
        first, *rest = self.layers
        maps = first(codes).contiguous(memory_format=torch.channels_last)
        for layer in rest:
            maps = layer(maps)
        return maps


def halvings(image_shape: Sequence[int], blocks: int | None = None) -> list[Size]:
    """Return (H, W) of the image and of each halving, rounded down, until the shorter side has at most 4 pixels.

    Args:
        blocks: the number of sizes to return; None: as many as that takes.

    Raises:
        ValueError: a side would have no pixels left.
    """
    sizes = [(image_shape[1], image_shape[2])]
    while min(sizes[-1]) > SMALLEST_SIDE if blocks is None else len(sizes) < blocks:
        sizes.append(halved(sizes[-1]))
    if (blocks is not None and blocks < 1) or not min(sizes[-1]):
        raise ValueError(
            f"model.encoder.blocks: an image of {image_shape[1]}×{image_shape[2]} pixels has no {blocks} blocks"
        )
    return sizes


def halved(size: Size) -> Size:
    """Return half of a size, rounded down."""
    return size[0] // 2, size[1] // 2


def uncropped(size: Size, larger: Size) -> int:
    """Return how many of a block's convolutions lead from `size` to `larger` when each adds two pixels; 0 if none do."""
    height, width = (after - before for before, after in zip(size, larger, strict=True))
    doubled = larger == (2 * size[0], 2 * size[1])
    fits = height == width and height % 2 == 0 and height // 2 < DECODER_CONVOLUTIONS
    return height // 2 if fits and not doubled else 0


def initialise(network: nn.Module, init: Init) -> None:
    """Initialise the convolutions and linear layers of a network; see `VGGEncoder`."""
    for layer in network.modules() if init == "glorot" else ():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
