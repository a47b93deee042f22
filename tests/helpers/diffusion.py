"""Noise, and a schedule's products, for the tests of diffusion."""

from __future__ import annotations

import numpy as np
import torch
from torch import Generator, Tensor

SHAPE = (2, 3, 4)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def bars(schedule) -> np.ndarray:
    """ᾱ_0 = 1 … ᾱ_T as a plain product, (13)."""
    found = [1.0]
    for beta in schedule.betas().tolist():
        found.append(found[-1] * (1 - beta))
    return np.array(found)
