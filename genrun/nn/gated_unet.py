"""The U-Net of "Generative Imaging": with batch norm, the time added at one place, and gates as attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genrun.nn.embedding import LabelEmbedding, Sinusoids


class GatedUNet(nn.Module):
    """Three levels down, a bottleneck, three up ("Generative Imaging", sections 3.2.4 and 3.6).

        x → w → 2w → 4w → 8w → 4w → 2w → w → x   at full, half, quarter, quarter, quarter, half and full resolution

    The embedding of the time is added to the output of the third level. Each block at quarter resolution is multiplied by a gate: a
    1×1 convolution and a softmax over the width of the image.

    Args:
        image_shape: (C, H, W).
        num_classes: the embedding of the label is added to that of the time; it has one more vector for "no label". 0: no labels.
        width: w.
        time_size: length of the sinusoids.
        times: number of times that it is told, such as 2 for both ends of an interval.

    Shape: (n, C, H, W), times (n,) or (n, times), labels (n,) or None → (n, C, H, W).
    """

    def __init__(
        self, image_shape: Sequence[int], num_classes: int, width: int = 64, time_size: int = 128, times: int = 1
    ) -> None:
        super().__init__()
        channels, w = image_shape[0], width
        self.time = nn.Sequential(Sinusoids(time_size), nn.Linear(times * time_size, 4 * w), nn.ReLU())
        self.label = LabelEmbedding(num_classes, 4 * w) if num_classes else None
        self.down = nn.ModuleList([Residual(channels, w), Residual(w, 2 * w), Gated(2 * w, 4 * w)])
        self.bottleneck = Gated(4 * w, 8 * w)
        self.up = nn.ModuleList([Gated(8 * w + 4 * w, 4 * w), Residual(4 * w + 2 * w, 2 * w), Residual(2 * w + w, w)])
        self.out = nn.Conv2d(w, channels, 1)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, times: Tensor, labels: Tensor | None = None) -> Tensor:
        embedding = self.time(times)
        if self.label is not None:
            embedding = embedding + self.label(labels, x.shape[0])
        first = self.down[0](x.contiguous(memory_format=torch.channels_last))
        second = self.down[1](F.max_pool2d(first, 2))
        third = self.down[2](F.max_pool2d(second, 2)) + embedding[:, :, None, None]
        h = self.up[0](torch.cat([self.bottleneck(third), third], 1))
        for block, skip in zip(self.up[1:], (second, first), strict=True):
            h = F.interpolate(h, size=skip.shape[2:], mode="bilinear")
            h = block(torch.cat([h, skip], 1))
        return self.out(h)


class Residual(nn.Module):
    """y = F(x) + x, F: conv–BN–ReLU–conv–BN; if the widths differ, a 1×1 convolution is applied to x (section 3.6.1)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, padding=1),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1),
            nn.BatchNorm2d(after),
        )
        self.shortcut = nn.Identity() if before == after else nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.shortcut(x)


class Gated(Residual):
    """A residual block, multiplied by its gate (section 3.6.2)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after)
        self.gate = nn.Conv2d(after, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = super().forward(x)
        return h * self.gate(h).softmax(3)
