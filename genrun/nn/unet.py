"""A small modern U-Net."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genrun.nn.embedding import LabelEmbedding, Sinusoids
from genrun.nn.strided import StridedConv2d

TIME_SIZE = 64  # length of the time's sinusoids


class UNet(nn.Module):
    """A U-Net of residual blocks that see the time; each level has half the resolution, and the lowest one has attention.

    At the start, squares of `patch`×`patch` pixels become channels; at the end they become pixels again. So no convolution works at
    full resolution: at `patch` = 2 the same weights cost a quarter.

    Args:
        image_shape: (C, H, W).
        num_classes: the embedding of the label is added to that of the time; it has one more vector for "no label". 0: no labels.
        widths: channels of each level, multiples of 8.
        blocks: residual blocks of a level on the way down, and again on the way up; the lowest level has one before the attention and one
            after it.
        patch: side of the squares, in pixels.
        heads: heads of the attention.
        embedding: length of the embedding of time and label.
        times: number of times that it is told, such as 2 for both ends of an interval.

    Shape: (n, C, H, W), times (n,) or (n, times), labels (n,) or None → (n, C, H, W).

    References:
        Ho, Jain and Abbeel, Denoising diffusion probabilistic models, 2020, appendix B.
        Dhariwal and Nichol, Diffusion models beat GANs on image synthesis, 2021 (the time scales and shifts the normalised channels).
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        num_classes: int,
        widths: Sequence[int] = (32, 64, 128),
        blocks: int = 1,
        patch: int = 2,
        heads: int = 4,
        embedding: int = 128,
        times: int = 1,
    ) -> None:
        super().__init__()
        for name, value in (("blocks", blocks), ("patch", patch), ("heads", heads), ("embedding", embedding)):
            if value < 1:
                raise ValueError(f"model.network.{name}: expected at least 1, got {value}")
        if any(width % 8 or width % heads for width in widths):
            raise ValueError(f"model.network.widths: expected multiples of 8 and of {heads} heads, got {list(widths)}")
        channels = image_shape[0] * patch**2
        self.patch, self.multiple = patch, patch * 2 ** (len(widths) - 1)  # H and W are padded to multiples of this
        self.time = nn.Sequential(
            Sinusoids(TIME_SIZE),
            nn.Linear(times * TIME_SIZE, embedding),
            nn.SiLU(),
            nn.Linear(embedding, embedding),
        )
        self.label = LabelEmbedding(num_classes, embedding) if num_classes else None
        self.stem = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.down = nn.ModuleList([block_list(width, width, blocks, embedding) for width in widths[:-1]])
        self.shrink = nn.ModuleList([StridedConv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths)])
        self.before = Block(widths[-1], widths[-1], embedding)
        self.attention = Attention(widths[-1], heads)
        self.after = Block(widths[-1], widths[-1], embedding)
        self.grow = nn.ModuleList([nn.Conv2d(b, a, 1) for a, b in reversed(list(pairwise(widths)))])
        self.up = nn.ModuleList([block_list(2 * width, width, blocks, embedding) for width in reversed(widths[:-1])])
        self.norm = nn.GroupNorm(8, widths[0])
        self.out = nn.Conv2d(widths[0], channels, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, times: Tensor, labels: Tensor | None = None) -> Tensor:
        height, width = x.shape[2:]
        embedding = self.time(times)
        if self.label is not None:
            embedding = embedding + self.label(labels, x.shape[0])
        embedding = F.silu(embedding)
        x = F.pad(x, (0, -width % self.multiple, 0, -height % self.multiple))
        h = self.stem(F.pixel_unshuffle(x, self.patch))
        skips = []
        for blocks, shrink in zip(self.down, self.shrink, strict=True):
            for block in blocks:
                h = block(h, embedding)
            skips.append(h)
            h = shrink(h)
        h = self.after(self.attention(self.before(h, embedding)), embedding)
        for blocks, grow in zip(self.up, self.grow, strict=True):
            h = torch.cat([F.interpolate(grow(h), scale_factor=2.0), skips.pop()], 1)
            for block in blocks:
                h = block(h, embedding)
        h = self.out(F.silu(self.norm(h)))
        return F.pixel_shuffle(h, self.patch)[..., :height, :width]


def block_list(before: int, after: int, blocks: int, embedding: int) -> nn.ModuleList:
    """Return the blocks of a level, in their order; the first one changes the width."""
    return nn.ModuleList([Block(before if k == 0 else after, after, embedding) for k in range(blocks)])


class Block(nn.Module):
    """x + conv(silu((1 + scale) ⊙ norm(conv(silu(norm(x)))) + shift)); scale and shift come from the embedding of time and label (n, E).

    If the widths differ, a 1×1 convolution is applied to the x of the sum.
    """

    def __init__(self, before: int, after: int, embedding: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, before), nn.GroupNorm(8, after)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * after)
        self.shortcut = nn.Identity() if before == after else nn.Conv2d(before, after, 1)
        nn.init.zeros_(self.conv2.weight)  # a block starts as its shortcut
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.norm2(self.conv1(F.silu(self.norm1(x))))
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, 1)
        return self.shortcut(x) + self.conv2(F.silu(torch.addcmul(shift, h, 1 + scale)))


class Attention(nn.Module):
    """x + self-attention between the pixels: (n, C, H, W) → the same."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, width)
        self.qkv = nn.Conv2d(width, 3 * width, 1)
        self.out = nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        n, c, height, width = x.shape
        qkv = self.qkv(self.norm(x)).reshape(n, 3, self.heads, -1, height * width).transpose(3, 4)
        if (
            x.is_cuda
        ):  # CUDA's kernels want the numbers of a row side by side; on the CPU this would only round differently
            qkv = qkv.contiguous()
        q, k, v = qkv.unbind(1)
        h = F.scaled_dot_product_attention(q, k, v)  # (n, heads, H·W, c/heads)
        return x + self.out(h.transpose(2, 3).reshape(n, c, height, width))
