"""Numbers as vectors of sinusoids."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Sinusoids(nn.Module):
    """f(t) = [sin(t ω), cos(t ω)], ω_i = 10000^(-i/(size/2)) ("Generative Imaging", (16)): (n,) → (n, size)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        half = size // 2
        self.register_buffer("omega", torch.exp(-math.log(10000) * torch.arange(half) / half), persistent=False)

    def forward(self, times: Tensor) -> Tensor:
        angles = times.float().unsqueeze(1) * self.omega
        return torch.cat([angles.sin(), angles.cos()], 1)
