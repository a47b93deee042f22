"""How sparse codes are: whether few units hold most of a code."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def hoyer_sparsity(codes: Tensor) -> Tensor:
    r"""Return the sparsity of each code (n, D): 0 if all units are equal in size, 1 if a single unit is not zero; (n,) float64.

        (√D - |z|₁ / |z|₂) / (√D - 1)

    The scale of a code does not matter. A code of zeros, or of one unit, has no sparsity: NaN.

    References:
        Hoyer, Non-negative matrix factorization with sparseness constraints, 2004, section 3.1.
    """
    codes = codes.detach().double().cpu().flatten(1)
    root = math.sqrt(codes.shape[1])
    ratio = codes.abs().sum(1) / codes.square().sum(1).sqrt()
    return (root - ratio) / (root - 1) if root > 1 else torch.full_like(ratio, torch.nan)
