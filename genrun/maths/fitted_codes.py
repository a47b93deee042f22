"""Codes of images that a decoder without an encoder has not seen: they are fitted by gradient steps, with fixed weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

LEARNING_RATE = 0.1  # of Adam

Decode = Callable[[Tensor, Tensor], Tensor]  # codes (n, D), labels (n,) int64 → values (n, P, C)


def fitted_codes(decode: Decode, means: Tensor, labels: Tensor, target: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Fit codes to images of given labels: Adam minimises the mean squared error of each image, from the mean code of its class.

    Args:
        decode: what the decoder makes of codes; differentiable.
        means: (classes, D).
        labels: (n,) int64, from 0 to classes - 1.
        target: (n, P, C), the values that `decode` should give.
        steps: of Adam.

    Returns:
        codes (n, D) and their mean squared errors (n,).
    """
    with torch.enable_grad():
        codes = means[labels].requires_grad_()
        optimizer = torch.optim.Adam([codes], lr=LEARNING_RATE)
        for _ in range(steps):
            (codes.grad,) = torch.autograd.grad(errors(decode, codes, labels, target).sum(), codes)
            optimizer.step()
    codes = codes.detach()
    return codes, errors(decode, codes, labels, target).detach()


def fitted_codes_and_labels(decode: Decode, means: Tensor, target: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Fit codes to images without labels: every class is tried, and the best fit is returned; see `fitted_codes`.

    Returns:
        codes (n, D) and the labels (n,) found.
    """
    n = len(target)
    each = (torch.full((n,), label, device=means.device) for label in range(len(means)))
    tried = [fitted_codes(decode, means, labels, target, steps) for labels in each]
    best = torch.stack([error for _, error in tried]).argmin(0)  # (n,)
    return torch.stack([codes for codes, _ in tried])[best, torch.arange(n)], best


def errors(decode: Decode, codes: Tensor, labels: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error of each image: (n,)."""
    return (target - decode(codes, labels)).square().mean((1, 2))
