"""The residual network of He et al. for small images."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ResNet(nn.Module):
    """ResNet v1 for small images: 6n + 2 layers with weights, of 16, 32 and 64 channels (section 4.2).

        x ↦ relu(BN(W₂ * relu(BN(W₁ * x))) + s(x)),   n such blocks in each of three stages

    The second and the third stage begin with a stride of 2. The shortcut s is the identity; where the number of channels changes, it
    is a 1×1 convolution with a stride of 2 and without normalisation. So does the example that comes with Keras, which gave ReGene's
    neutral "ResNet-56 v1" its name. The paper's own shortcut there (option A) pads with channels of zeros and has no weights.

    Args:
        image_shape: (C, H, W) of the images, 8×8 pixels or more.
        num_classes: number of logits.
        depth: layers with weights on the main path, 6n + 2; 56 means n = 9.

    References:
        He et al., Deep residual learning for image recognition, 2015.
    """

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int, depth: int = 56) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise ValueError(f"the depth of a ResNet must be 6n + 2, such as 20 or 56, got {depth}")
        blocks, widths = (depth - 2) // 6, (16, 32, 64)
        self.num_features = widths[-1]
        self.stem = nn.Sequential(convolution(image_shape[0], widths[0]), nn.BatchNorm2d(widths[0]), nn.ReLU())
        stages: list[nn.Module] = []
        for before, after in zip((widths[0], *widths), widths, strict=False):
            stages.append(Block(before, after, stride=1 if before == after else 2))
            stages += [Block(after, after) for _ in range(blocks - 1)]
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(self.num_features, num_classes)

    def features(self, images: Tensor) -> Tensor:
        """Return the mean over the pixels of the last stage: images (n, C, H, W) in [0, 1] → (n, 64)."""
        return self.stages(self.stem(images)).mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of images: (n, C, H, W) in [0, 1] → (n, num_classes)."""
        return self.head(self.features(images))


class Block(nn.Module):
    """Two 3×3 convolutions and a shortcut: (n, before, H, W) → (n, after, ⌈H / stride⌉, ⌈W / stride⌉)."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            convolution(before, after, stride=stride),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            convolution(after, after),
            nn.BatchNorm2d(after),
        )
        self.shortcut = nn.Identity() if before == after else convolution(before, after, side=1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.residual(x) + self.shortcut(x))


def convolution(before: int, after: int, side: int = 3, stride: int = 1) -> nn.Conv2d:
    """Return a convolution that keeps the size (at stride 1), with W ~ N(0, 2 / fan_in) and no bias, because BN would cancel it."""
    conv = nn.Conv2d(before, after, side, stride, padding=side // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    return conv
