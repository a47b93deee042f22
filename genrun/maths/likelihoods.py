"""Likelihoods: the probability of an image given a decoder's output, for the training of variational autoencoders."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Likelihood(nn.Module):
    """p(x | output) of images x in [0, 1], given the raw outputs of a decoder, both (n, C, H, W).

    Attributes:
        binary: if true, the images are 0 or 1 and `log_prob` is a log mass; otherwise it is a log density on [0, 1]^D.
    """

    binary = False

    def log_prob(self, images: Tensor, output: Tensor) -> Tensor:
        """Return log p(x | output) in nats: (…, C, H, W) → (…,)."""
        raise NotImplementedError

    def mean(self, output: Tensor) -> Tensor:
        """Return the expected images given the output, in [0, 1]."""
        raise NotImplementedError


class Bernoulli(Likelihood):
    r"""Σ_i x_i log p_i + (1 - x_i) log(1 - p_i),   p = σ(output).

    This is a probability only if x is 0 or 1; grey values are therefore drawn to 0 or 1 before.
    """

    binary = True

    def log_prob(self, images: Tensor, output: Tensor) -> Tensor:
        return -F.binary_cross_entropy_with_logits(output, images.expand_as(output), reduction="none").sum((-3, -2, -1))

    def mean(self, output: Tensor) -> Tensor:
        return output.sigmoid()


class Gaussian(Likelihood):
    r"""log N(x; m, σ²) with one σ for all pixels, m = ½ (1 + tanh(output)).

    On [-1, 1] this is a sum of squared errors with the weight 1/(8σ²). With a standard deviation of 1/√8 on [0, 1] its negative is
    Σ (2x - 1 - tanh(output))² plus a constant, the document's (31).

    Args:
        deviation: σ on [0, 1], above 0; the initial value if it is learned.
        learned: whether σ is learned together with the networks.
    """

    def __init__(self, deviation: float = 8**-0.5, learned: bool = False) -> None:
        super().__init__()
        if deviation <= 0:
            raise ValueError(f"model.likelihood.deviation: expected a positive number, got {deviation}")
        log_deviation = torch.tensor(math.log(deviation))
        if learned:
            self.log_deviation = nn.Parameter(log_deviation)
        else:
            self.register_buffer("log_deviation", log_deviation)

    def log_prob(self, images: Tensor, output: Tensor) -> Tensor:
        squares = (images - self.mean(output)).square().sum((-3, -2, -1))
        constant = math.prod(output.shape[-3:]) * (self.log_deviation + 0.5 * math.log(2 * math.pi))
        return -0.5 * squares * (-2 * self.log_deviation).exp() - constant

    def mean(self, output: Tensor) -> Tensor:
        return (1 + output.tanh()) / 2
