"""Preconditioning: what a network sees and answers is scaled to variance 1 at every level of noise."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor

LOG_SIGMA_MEAN, LOG_SIGMA_DEVIATION = -1.2, 1.2  # P_mean and P_std of EDM, table 1
SIGMA_MIN, SIGMA_MAX = 0.002, 80.0  # no other σ is told to a network (EDM, table 1)
NOISE_TOLD = 100.0  # the sinusoids of the networks are made for numbers of some hundreds

Number = TypeVar("Number", float, Tensor)


class Preconditioning:
    r"""The preconditioning of EDM, for x = a x_0 + b ε with images x_0 of deviation σ_data: EDM's own x is x/a here, and σ = b/a.

        D(x/a; σ) = c_skip x/a + c_out F(c_in x/a; c_noise)                                    (7)
        c_skip = σ_data²/(σ² + σ_data²),   c_out = σ σ_data/√(σ² + σ_data²),   c_in = 1/√(σ² + σ_data²),   c_noise = ¼ ln σ

    D is x̂_0. With V = a² σ_data² + b², the variance of x, this is the same without a divisor that could be 0:

        x̂_0 = a σ_data²/V x + b σ_data/√V F,   ε̂ = b/V x - a σ_data/√V F

    The loss weight λ = 1/c_out² makes the error of F the loss. If F = 0, x̂_0 is the best linear guess. At a² + b² = 1 and σ_data = 1, F is
    the negative of the velocity of Salimans and Ho (2022).

    Args:
        sigma_data: σ_data, the deviation of the pixels of images on [-1, 1].

    References:
        Karras et al., Elucidating the design space of diffusion-based generative models, 2022 (EDM, arXiv 2206.00364), table 1.
    """

    def __init__(self, sigma_data: float) -> None:
        if sigma_data <= 0:
            raise ValueError(f"model.sigma_data: expected more than 0, or null, got {sigma_data}")
        self.sigma_data = sigma_data

    def variance(self, a: Number, b: Number) -> Number:
        """Return V."""
        return (a * self.sigma_data) ** 2 + b**2

    def inputs(self, x: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the network is given for x (n, C, H, W) at levels (n, 1, 1, 1): c_in x/a, and `NOISE_TOLD` c_noise (n,)."""
        sigma = (b / a).clamp(SIGMA_MIN, SIGMA_MAX)
        return x / self.variance(a, b) ** 0.5, NOISE_TOLD / 4 * sigma.log().flatten()

    def target(self, images: Tensor, noise: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Return the F that makes x̂_0 the image: (x_0 - c_skip x/a)/c_out, (8)."""
        return (b * images - a * self.sigma_data**2 * noise) / (self.sigma_data * self.variance(a, b) ** 0.5)

    def of_image(self, a: Number, b: Number) -> tuple[Number, Number]:
        """Return the factors of x and of F in x̂_0."""
        v = self.variance(a, b)
        return a * self.sigma_data**2 / v, b * self.sigma_data / v**0.5

    def of_noise(self, a: Number, b: Number) -> tuple[Number, Number]:
        """Return the factors of x and of F in ε̂."""
        v = self.variance(a, b)
        return b / v, -a * self.sigma_data / v**0.5
