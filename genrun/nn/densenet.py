"""The densely connected network of Huang et al. for small images, as an encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genrun.nn.resnet import convolution

BLOCKS = 3
BOTTLENECK = 4  # the 1×1 convolution before a layer's 3×3 has this many times as many filters


class DenseNet(nn.Module):
    """DenseNet-BC for small images: three dense blocks and the mean over the pixels (section 3, table 3).

        x_ℓ = H_ℓ([x_0, x_1, …, x_ℓ₋₁]),   H: BN → ReLU → 1×1 conv, 4k filters → BN → ReLU → 3×3 conv, k filters      (2)

    A 3×3 convolution of 2k filters comes first. Each block has (L − 4) / 6 layers H. Between two blocks, BN → ReLU → 1×1 convolution
    keeps half of the channels, and a mean over 2×2 pixels halves the sides (rounded down). ReGene takes the network with L = 100 and
    k = 12, whose code has D = 342 numbers, none negative, to show a code that is too sparse to decode (section 3.2, figure 5). The
    paper's dropout of 0.2, which it uses without data augmentation, is left out.

    Args:
        image_shape: (C, H, W) of the images, 4×4 pixels or more.
        outputs: the expected length of the code; None: do not check.
        depth: L = 6n + 4, layers with weights; a classifier's last layer counts.
        growth: k, channels that each layer adds.

    Shape: (n, C, H, W) → (n, D).

    References:
        Huang et al., Densely connected convolutional networks, 2017.

    Raises:
        ValueError: there is no such network, or its code has another length.
    """

    def __init__(
        self, image_shape: Sequence[int], outputs: int | None = None, depth: int = 100, growth: int = 12
    ) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise ValueError(f"the depth of a DenseNet-BC must be 6n + 4, such as 40 or 100, got {depth}")
        if growth < 1:
            raise ValueError(f"the growth rate of a DenseNet must be at least 1, got {growth}")
        if min(image_shape[1:]) < 2 ** (BLOCKS - 1):
            raise ValueError(f"a DenseNet halves images twice: expected 4×4 pixels or more, got {tuple(image_shape)}")
        channels = 2 * growth
        stages: list[nn.Module] = [convolution(image_shape[0], channels)]
        for block in range(BLOCKS):
            if block:
                before, channels = channels, channels // 2
                stages += [*normalised(before, channels, side=1), nn.AvgPool2d(2)]
            for _ in range((depth - 4) // 6):
                stages.append(DenseLayer(channels, growth))
                channels += growth
        self.num_features = channels
        if outputs not in (None, self.num_features):
            raise ValueError(f"a code of this encoder has {self.num_features} numbers, got code_size {outputs}")
        self.stages = nn.Sequential(*stages, nn.BatchNorm2d(channels), nn.ReLU())
        self.to(memory_format=torch.channels_last)

    @property
    def code_shape(self) -> tuple[int, int, int]:
        """The code as a map of one pixel: (D, 1, 1)."""
        return self.num_features, 1, 1

    def forward(self, images: Tensor) -> Tensor:
        return self.stages(images.contiguous(memory_format=torch.channels_last)).mean((2, 3))


class DenseLayer(nn.Module):
    """Append k channels computed from all channels before: (n, before, H, W) → (n, before + growth, H, W)."""

    def __init__(self, before: int, growth: int) -> None:
        super().__init__()
        between = BOTTLENECK * growth
        self.layers = nn.Sequential(*normalised(before, between, side=1), *normalised(between, growth, side=3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.layers(x)], 1)


def normalised(before: int, after: int, side: int) -> list[nn.Module]:
    """Return BN → ReLU → convolution, the order in which the paper composes them."""
    return [nn.BatchNorm2d(before), nn.ReLU(inplace=True), convolution(before, after, side)]
