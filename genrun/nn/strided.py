"""Convolutions with a stride that avoid a shape at which reduced precision has been wrong: one pixel wide or high after the stride."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StridedConv2d(nn.Conv2d):
    """A convolution that, in mixed precision, does not compute an output that is one pixel wide or high.

    Some processors (with AMX) then read memory that was never written. Zeros at the right and at the bottom make the output two pixels
    wide or high, and the second one is dropped: the first sees no more than the padding that it saw before.
    """

    def forward(self, images: Tensor) -> Tensor:
        if not torch.is_autocast_enabled(images.device.type):
            return super().forward(images)
        sides = [self.outputs(side, at) for at, side in enumerate(images.shape[2:])]
        down, right = (self.stride[at] if side == 1 else 0 for at, side in enumerate(sides))
        if not down and not right:
            return super().forward(images)
        return super().forward(nn.functional.pad(images, (0, right, 0, down)))[..., : sides[0], : sides[1]]

    def outputs(self, side: int, at: int) -> int:
        """Return the length of a side after the convolution; `at` is 0 for the height, 1 for the width."""
        covered = self.dilation[at] * (self.kernel_size[at] - 1) + 1
        return (side + 2 * self.padding[at] - covered) // self.stride[at] + 1


class StridedConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution that, in mixed precision, does not take an input that is one pixel wide or high; see `StridedConv2d`.

    Its gradient is a convolution with that output.
    """

    def forward(self, maps: Tensor) -> Tensor:
        down, right = (int(side == 1) for side in maps.shape[2:])
        if not (down or right) or not torch.is_autocast_enabled(maps.device.type):
            return super().forward(maps)
        larger = super().forward(nn.functional.pad(maps, (0, right, 0, down)))
        return larger[..., : larger.shape[2] - down * self.stride[0], : larger.shape[3] - right * self.stride[1]]
