"""Annealed importance sampling: estimate the normalising constant of a distribution that is known except for this constant."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor


def log_ratio_of_constants(
    state: Tensor,
    temperatures: int,
    log_ratio: Callable[[Tensor, float, float], Tensor],
    step: Callable[[Tensor, float], Tensor],
) -> tuple[Tensor, Tensor]:
    r"""Estimate log Z_1/Z_0 along a path of distributions p_β = p*_β/Z_β; return it and its standard error, float64 scalars.

        log Z_1/Z_0 ≈ log mean_r w_r,   log w = Σ_k log p*_{β_k+1}(v_k) - log p*_{β_k}(v_k),   0 = β_0 < β_1 < … = 1

    The standard error is that of the mean of w, relative to this mean, from the spread over the runs; it is NaN for one run.

    Args:
        state: v_0 ~ p_0 for R runs: (R, …).
        temperatures: number of steps from β = 0 to β = 1.
        log_ratio: (v, β_k, β_k+1) → log p*_{β_k+1}(v) - log p*_{β_k}(v), (R,).
        step: (v, β) → v after one step of a Markov chain that leaves p_β unchanged.

    References:
        Neal, Annealed importance sampling, 2001. Salakhutdinov and Murray, On the quantitative analysis of deep belief networks, 2008.
    """
    log_w = torch.zeros(len(state), dtype=torch.float64, device=state.device)
    for below, beta in pairwise(torch.linspace(0, 1, temperatures + 1, dtype=torch.float64).tolist()):
        log_w += log_ratio(state, below, beta)
        state = step(state, beta)
    most = log_w.max()
    w = (log_w - most).exp()
    return most + w.mean().log(), w.std() / w.mean() / len(w) ** 0.5
