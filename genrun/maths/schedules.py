"""Noise schedules of diffusion: they say how much of the image is left at each time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

MAX_BETA = 0.999  # at β = 1, ᾱ would be 0, and ᾱ is a divisor


class BetaSchedule:
    """β_1, …, β_T, and α_t = 1 - β_t, ᾱ_t = Π_{i ≤ t} α_i (13).

    Args:
        steps: T.
    """

    def __init__(self, steps: int) -> None:
        if steps < 2:
            raise ValueError(f"model.beta_schedule.steps: expected at least 2, got {steps}")
        self.steps = steps

    def betas(self) -> Tensor:
        """Return β: (T,) float64, with β_t at index t - 1."""
        raise NotImplementedError


class Linear(BetaSchedule):
    """β_t = β_start + t/T (β_end - β_start), (12), but t runs from 0 to T - 1, and T - 1 steps lie between β_start and β_end.

    Args:
        steps: T.
        start, end: β of the first and of the last step.
    """

    def __init__(self, steps: int, start: float = 1e-4, end: float = 2e-2) -> None:
        super().__init__(steps)
        if not 0 < start <= end < 1:
            raise ValueError(f"model.beta_schedule: expected 0 < start ≤ end < 1, got {start} and {end}")
        self.start, self.end = start, end

    def betas(self) -> Tensor:
        return torch.linspace(self.start, self.end, self.steps, dtype=torch.float64)


class Cosine(BetaSchedule):
    r"""ᾱ_t = f(t)/f(0),   f(t) = cos²(π/2 · (t/T + s)/(1 + s)),   β_t = 1 - ᾱ_t/ᾱ_{t-1} ≤ 0.999    (14), (15).

    Args:
        steps: T.
        s: keeps β_1 from being too small.

    References:
        Nichol and Dhariwal, Improved denoising diffusion probabilistic models, 2021, (17).
    """

    def __init__(self, steps: int, s: float = 0.008) -> None:
        super().__init__(steps)
        if s < 0:
            raise ValueError(f"model.beta_schedule.s: expected a number of at least 0, got {s}")
        self.s = s

    def betas(self) -> Tensor:
        t = torch.arange(self.steps + 1, dtype=torch.float64) / self.steps
        f = torch.cos(math.pi / 2 * (t + self.s) / (1 + self.s)).square()
        return (1 - f[1:] / f[:-1]).clamp(max=MAX_BETA)
