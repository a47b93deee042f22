"""Random tensors by an explicit generator."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def normal_like(tensor: Tensor, generator: Generator | None = None) -> Tensor:
    """Standard normal numbers, of the tensor's shape, type and device."""
    return torch.randn(tensor.shape, generator=generator, device=tensor.device, dtype=tensor.dtype)


def bernoulli(probabilities: Tensor, generator: Generator | None = None) -> Tensor:
    """1 with these probabilities, 0 otherwise, of their shape, type and device."""
    uniform = torch.rand(
        probabilities.shape, generator=generator, device=probabilities.device, dtype=probabilities.dtype
    )
    return (uniform < probabilities).to(probabilities)
