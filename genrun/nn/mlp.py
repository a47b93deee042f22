"""Multilayer perceptrons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

Init = Literal["he", "fan_in", "fan_in_at_least", "torch"]
LEAST_DEVIATION = 0.03  # of initial weights, for `fan_in_at_least`


class MLP(nn.Sequential):
    """Fully connected layers with LeakyReLU between them.

        x ↦ W_k a(… a(W_1 x + b_1) …) + b_k,   a(x) = max(x, leak·x)

    Args:
        sizes: widths from input to output, (in, hidden, …, out).
        leak: slope of the negative side.
        leaky_output: put the activation after the last layer too.
        dropout: the probability that a hidden unit is dropped in training.
        init: `he`: W ~ N(0, 2/fan_in), b = 0 (He et al., 2015); `fan_in`: W and b ~ N(0, 1/fan_in²), so the standard
            deviation is 1/fan_in; `fan_in_at_least`: the same, but with a standard deviation of at least 0.03, because with 1/fan_in
            the signal vanishes in wide layers; `torch`: as torch initialises them, W and b uniform in ±1/√fan_in.

    Shape: (…, sizes[0]) → (…, sizes[-1]).
    """

    def __init__(
        self,
        sizes: Sequence[int],
        leak: float = 0.01,
        *,
        dropout: float = 0.0,
        leaky_output: bool = False,
        init: Init = "he",
    ) -> None:
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(sizes):
            linear = nn.Linear(fan_in, fan_out)
            if init == "he":
                nn.init.normal_(linear.weight, std=(2 / fan_in) ** 0.5)
                nn.init.zeros_(linear.bias)
            elif init != "torch":
                deviation = 1 / fan_in if init == "fan_in" else max(LEAST_DEVIATION, 1 / fan_in)
                nn.init.normal_(linear.weight, std=deviation)
                nn.init.normal_(linear.bias, std=deviation)
            layers += [linear, nn.LeakyReLU(leak, inplace=True)]
            if dropout:
                layers.append(nn.Dropout(dropout))
        super().__init__(*(layers if leaky_output else layers[: layers.index(linear) + 1]))


class MLPEncoder(nn.Sequential):
    """An `MLP` on the flattened image: (n, C, H, W) → (n, outputs).

    Args:
        image_shape: (C, H, W).
        outputs: width of the last layer.
        hidden: widths of the hidden layers.
        leak, dropout, init: see `MLP`.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        outputs: int,
        hidden: Sequence[int] = (512, 256),
        leak: float = 0.0,
        dropout: float = 0.0,
        init: Init = "torch",
    ) -> None:
        super().__init__(
            nn.Flatten(), MLP((math.prod(image_shape), *hidden, outputs), leak, dropout=dropout, init=init)
        )


class MLPDecoder(nn.Sequential):
    """An `MLP` whose outputs are the values of an image: (n, inputs) → (n, C, H, W).

    Args:
        inputs: width of the first layer.
        image_shape: (C, H, W).
        hidden: widths of the hidden layers.
        leak, init: see `MLP`.
    """

    def __init__(
        self,
        inputs: int,
        image_shape: Sequence[int],
        hidden: Sequence[int] = (256, 512),
        leak: float = 0.0,
        init: Init = "torch",
    ) -> None:
        super().__init__(
            MLP((inputs, *hidden, math.prod(image_shape)), leak, init=init), nn.Unflatten(1, tuple(image_shape))
        )


def pixel_centres(resolution: int | tuple[int, int], dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the coordinates (row, column) of the pixel centres of an image over [-1, 1]².

    Args:
        resolution: (H, W), or one number for both.

    Returns:
        (H·W, 2), in raster order: the coordinate of pixel i of n is (2i + 1)/n - 1.
    """
    height, width = (resolution, resolution) if isinstance(resolution, int) else resolution
    rows = (2 * torch.arange(height, dtype=dtype) + 1) / height - 1
    columns = (2 * torch.arange(width, dtype=dtype) + 1) / width - 1
    return torch.cartesian_prod(rows, columns)
