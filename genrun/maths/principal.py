"""Principal components of codes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Principal(NamedTuple):
    """The principal components of N codes of D values, k = min(N, D), in float64.

    Their signs are arbitrary: the largest entry of each is positive, so that every machine shows the same.
    """

    mean: Tensor  # (D,)
    components: Tensor  # (k, D), of length 1
    deviations: Tensor  # (k,), standard deviations of the codes along them
    shares: Tensor  # (k,), of the variance


def principal_components(codes: Tensor) -> Principal:
    """Return the principal components of codes (N, D), on the CPU.

    Raises:
        ValueError: fewer than two codes, codes of another shape, or codes that are not finite.
    """
    if codes.ndim != 2 or len(codes) < 2 or not codes.shape[1]:
        raise ValueError(f"codes must be (N, D) with N ≥ 2 and D ≥ 1, got shape {tuple(codes.shape)}")
    if not torch.isfinite(codes).all():
        raise ValueError("codes must be finite, got NaN or Inf")
    wide = codes.detach().cpu().double()
    mean = wide.mean(0)
    _, singular, components = torch.linalg.svd(wide - mean, full_matrices=False)
    largest = components.gather(1, components.abs().argmax(1, keepdim=True))
    variances = singular.square() / (len(codes) - 1)
    shares = variances / variances.sum().clamp_min(torch.finfo(torch.float64).tiny)
    return Principal(mean, components * largest.sign(), variances.sqrt(), shares)
