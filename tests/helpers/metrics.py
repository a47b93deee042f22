"""Features, drawn and handed to the reference implementations."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PassThrough(nn.Module):
    """Takes features for images, so that torchmetrics judges what we judge."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(n: int, d: int, seed: int = 0) -> Tensor:
    """Features (n, d) with correlations, float64."""
    generator = seeded(seed)
    mixing = torch.randn(d, d, generator=generator, dtype=torch.float64)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) @ mixing + seed
