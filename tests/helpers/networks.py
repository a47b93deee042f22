"""What the networks' tests share: shapes of images, weights as if trained, and inputs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 8, 12), (1, 28, 48), (1, 7, 9)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def as_if_trained(network: nn.Module) -> nn.Module:
    """In float64, with weights that are nowhere zero."""
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(std=0.2)
    return network.double()


def times(n: int) -> Tensor:
    return torch.arange(n, dtype=torch.float64) * 37 + 1
