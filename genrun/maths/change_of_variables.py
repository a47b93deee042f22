"""The density of a flow: how the volume around a point changes on its way to noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Generator, Tensor

from genrun.maths.mixtures import log_standard_normal
from genrun.maths.random_numbers import bernoulli


def log_density(
    velocity: Callable[[Tensor, float], Tensor], x: Tensor, times: Sequence[float], generator: Generator | None = None
) -> Tensor:
    r"""Return log p(x) of the flow dx/dt = v(x, t) that turns x_0 ~ N(0, I) into images: (n, …) → (n,), in nats.

        log p(x_1) = log N(x_0; 0, I) - ∫_0^1 tr ∂v/∂x dt
        tr ∂v/∂x = E zᵀ ∂v/∂x z,   z = ±1                                                     (Hutchinson)

    Both integrals are taken by Heun's steps. One z for each image makes this an unbiased estimate of what they give, and it is exact where
    ∂v/∂x is diagonal.

    Args:
        velocity: (x_t, t) → v, differentiable.
        x: (n, …), x_1.
        times: 1 = t_0 > … > t_S = 0.

    References:
        Grathwohl et al., FFJORD, 2019, (4) and section 3.1. Chen et al., Neural ordinary differential equations, 2018, theorem 1.
    """
    probe = 2 * bernoulli(torch.full_like(x, 0.5), generator) - 1

    def change(x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            v = velocity(x, t)
            (row,) = torch.autograd.grad((v * probe).sum(), x)
        return v.detach(), (row * probe).flatten(1).sum(1)

    lost = x.new_zeros(len(x))
    for t, s in pairwise(times):
        first, trace = change(x, t)
        second, other = change(x + (s - t) * first, s)
        x = x + (s - t) / 2 * (first + second)
        lost = lost + (t - s) / 2 * (trace + other)
    return log_standard_normal(x.flatten(1)) - lost
