"""Muon for the kernels of convolutions, Adam for the rest."""

from __future__ import annotations

from collections.abc import Iterable

import pytorch_optimizer
from torch import nn

NARROW = 8  # channels; with fewer, a kernel reads or writes images and is no hidden layer's


class Muon(pytorch_optimizer.Muon):
    """Each kernel, as a matrix (out, in·k·k), moves by the nearest orthogonal matrix to its averaged gradient, about.

    Args:
        parameters: of a convolutional network.
        lr: length of a step, of kernels between at least 8 channels on both sides.
        adam_lr, adam_betas: of everything else.

    References:
        Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, adam_lr: float, adam_betas: tuple[float, float]
    ) -> None:
        kernels, rest = [], []
        for weight in parameters:
            (kernels if weight.ndim == 4 and min(weight.shape[:2]) >= NARROW else rest).append(weight)
        groups = [
            {"params": kernels, "lr": lr, "use_muon": True},
            {"params": rest, "lr": adam_lr, "betas": tuple(adam_betas), "use_muon": False},
        ]
        super().__init__([group for group in groups if group["params"]])
