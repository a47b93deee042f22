"""Times and labels as vectors."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Sinusoids(nn.Module):
    """f(t) = [sin(t ω), cos(t ω)], ω_i = 10000^(-i/(size/2)) ("Generative Imaging", (16)): (n,) → (n, size)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.half = size // 2

    def forward(self, times: Tensor) -> Tensor:
        # ω is no buffer: averaging weights would average it too, and round it a little further off in every step
        times = times.to(torch.promote_types(times.dtype, torch.float32))  # half precision cannot tell late times apart
        omega = torch.exp(-math.log(10000) * torch.arange(self.half).to(times) / self.half)
        angles = times.unsqueeze(1) * omega
        return torch.cat([angles.sin(), angles.cos()], 1)


class Labels(nn.Embedding):
    """A learned vector for each of the classes, and a last one for no label: labels (n,), num_classes for none → (n, size)."""

    def __init__(self, num_classes: int, size: int) -> None:
        super().__init__(num_classes + 1, size)

    def forward(self, labels: Tensor | None, n: int) -> Tensor:
        """labels: None for none of the n."""
        if labels is None:
            return self.weight[-1].expand(n, -1)
        return super().forward(labels)
