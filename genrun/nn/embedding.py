"""Times and labels as vectors."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Sinusoids(nn.Module):
    """f(t) = [sin(t ω), cos(t ω)], ω_i = 10000^(-i/(size/2)) ("Generative Imaging", (16)): (n,) → (n, size).

    Of k times, (n, k) → (n, k · size), it is the f of each, side by side.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.half = size // 2

    def forward(self, times: Tensor) -> Tensor:
        # ω is not a buffer: averaging the weights would average it too, and add a rounding error in every step
        times = times.to(torch.promote_types(times.dtype, torch.float32))  # half precision cannot separate late times
        omega = torch.exp(-math.log(10000) * torch.arange(self.half).to(times) / self.half)
        angles = times.unsqueeze(-1) * omega
        return torch.cat([angles.sin(), angles.cos()], -1).flatten(1)


class LabelEmbedding(nn.Embedding):
    """A learned vector for each class, and a last one for "no label", which is the label num_classes: labels (n,) → (n, size)."""

    def __init__(self, num_classes: int, size: int) -> None:
        super().__init__(num_classes + 1, size)

    def forward(self, labels: Tensor | None, n: int) -> Tensor:
        """Return the vectors of labels (n,): (n, size). If labels is None, none of the n has a label."""
        if labels is None:
            return self.weight[-1].expand(n, -1)
        return super().forward(labels)
