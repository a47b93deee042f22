"""Random tensors by an explicit generator."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def normal_like(tensor: Tensor, generator: Generator | None = None) -> Tensor:
    """Standard normal numbers, of the tensor's shape, type and device."""
    return torch.randn(tensor.shape, generator=generator, device=tensor.device, dtype=tensor.dtype)


def bernoulli(probabilities: Tensor, generator: Generator | None = None) -> Tensor:
    """1 with these probabilities, 0 otherwise, of their shape, type and device.

    Without a generator, so from the global stream, which is training's, 16 random bits decide instead of 24: less than half the time,
    for probabilities that are rounded to multiples of 2⁻¹⁶.
    """
    shape, device = probabilities.shape, probabilities.device
    if generator is not None:
        uniform = torch.rand(shape, generator=generator, device=device, dtype=probabilities.dtype)
    else:
        n = probabilities.numel()
        bits = torch.empty((n + 3) // 4, dtype=torch.int64, device=device).random_(-(2**63), None)
        uniform = bits.view(torch.int16)[:n].view(shape).to(probabilities)
        uniform.add_(2**15 + 0.5).mul_(2**-16)  # at the middles of 2¹⁶ equal parts of (0, 1)
    return torch.lt(uniform, probabilities, out=uniform)
