"""An optimizer: Muon for the kernels of convolutions, Adam for all other parameters."""

from __future__ import annotations

from collections.abc import Iterable

import pytorch_optimizer
from torch import nn

MIN_CHANNELS = 8  # a kernel with fewer reads or writes images; it does not belong to a hidden layer


class Muon(pytorch_optimizer.Muon):
    """Muon: each kernel, as a matrix (out, in·k·k), moves by (about) the orthogonal matrix nearest to its averaged gradient.

    Args:
        parameters: of a convolutional network.
        lr: learning rate of Muon, for kernels with at least 8 input and 8 output channels.
        adam_lr, adam_betas: learning rate and βs of Adam, for all other parameters.

    References:
        Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, adam_lr: float, adam_betas: tuple[float, float]
    ) -> None:
        kernels, rest = [], []
        for weight in parameters:
            (kernels if weight.ndim == 4 and min(weight.shape[:2]) >= MIN_CHANNELS else rest).append(weight)
        groups = [
            {"params": kernels, "lr": lr, "use_muon": True},
            {"params": rest, "lr": adam_lr, "betas": tuple(adam_betas), "use_muon": False},
        ]
        super().__init__([group for group in groups if group["params"]])
