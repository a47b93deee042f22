r"""Denoising diffusion: a network learns which noise was added to images, and images are made by taking it away step by step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Generator, Tensor

from genrun.maths.random_numbers import normal_like
from genrun.maths.samplers import DiffusionSampler
from genrun.maths.schedules import BetaSchedule
from genrun.methods.denoiser import Denoiser, shown


class DDPM(Denoiser):
    r"""Denoising diffusion probabilistic model ("Generative Imaging", sections 3.2.4 and 3.4.1).

        x_t = √ᾱ_t x_0 + √(1 - ᾱ_t) ε,   ε ~ N(0, I),   t = 1 … T                          (17), the bars restored
        C_noise = mean (ε̂(x_t, t) - ε)²                                                    (34)
        C_grad = mean (Δ_x ε̂ - Δ_x ε)² + mean (Δ_y ε̂ - Δ_y ε)²,   Δ: to the next pixel      (35)
        C = α C_grad + C_noise                                                              (36)

    With `target: velocity` the network's output is v̂ = √ᾱ_t ε̂ - √(1 - ᾱ_t) x̂_0 (Salimans and Ho, 2022), which is learned by its own squared
    error in place of (34) and gives ε̂ = √ᾱ_t v̂ + √(1 - ᾱ_t) x_t: where hardly any image is left, it is the image that has to be known.

    How x_T ~ N(0, I) turns to an image (18, 19) is the sampler's: any of them serves a trained model.

    Args:
        positional, of_denoiser: image_shape, num_classes, network, optimizer and the options that `Denoiser` lists.
        beta_schedule: β_1 … β_T.
        sampler: from noise to images.
        target: the network answers with the `noise` ε̂, as the document's does, or with the `velocity` v̂.
        gradient_weight: α; (35) is of what the network answers with.

    References:
        Ho, Jain and Abbeel, Denoising diffusion probabilistic models, 2020.
    """

    def __init__(
        self,
        *positional: Any,
        beta_schedule: BetaSchedule,
        sampler: DiffusionSampler,
        target: Literal["noise", "velocity"] = "velocity",
        gradient_weight: float = 0.0,
        **of_denoiser: Any,
    ) -> None:
        super().__init__(*positional, **of_denoiser)
        if gradient_weight < 0:
            raise ValueError(f"model.gradient_weight: expected a number of at least 0, got {gradient_weight}")
        self.sampler, self.target, self.gradient_weight = sampler, target, gradient_weight
        self.betas = beta_schedule.betas()  # (T,) float64
        self.alpha_bars = torch.cat([self.betas.new_ones(1), (1 - self.betas).cumprod(0)])  # ᾱ_0 = 1 … ᾱ_T

    def shares(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """√ᾱ_t and √(1 - ᾱ_t) at times t (n,) in 0 … T: (n, 1, 1, 1) each."""
        of_image, of_noise = self.alpha_bars.sqrt(), (1 - self.alpha_bars).sqrt()
        return of_image.to(like)[t].view(-1, 1, 1, 1), of_noise.to(like)[t].view(-1, 1, 1, 1)

    def noised(self, images: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """x_t of images x_0 (n, C, H, W) on [-1, 1] at times t (n,), (17)."""
        of_image, of_noise = self.shares(t, images)
        return of_image * images + of_noise * noise

    def losses(self, images: Tensor, labels: Tensor | None, generator: Generator | None = None) -> dict[str, Tensor]:
        last = len(self.betas)
        t = (self.draw_times(images, generator) * last).long().clamp(max=last - 1) + 1  # 1 … T
        target = noise = normal_like(images, generator)
        if self.target == "velocity":
            of_image, of_noise = self.shares(t, images)
            target = of_image * noise - of_noise * images
        error = (self.network(self.noised(images, t, noise), t.to(images), labels) - target).float()
        terms = {self.target: error.square().mean()}  # (34)
        if self.gradient_weight:
            terms["gradient"] = self.gradient_weight * sum(error.diff(dim=d).square().mean() for d in (3, 2))  # (35)
        return terms

    def noise_in(self, x: Tensor, t: int, labels: Tensor | None) -> Tensor:
        """ε̂ at one time t for all images x_t (n, C, H, W)."""
        out = self.predict(x, t, labels)
        if self.target == "noise":
            return out
        alpha_bar = self.alpha_bars[t].item()
        return alpha_bar**0.5 * out + (1 - alpha_bar) ** 0.5 * x

    def path(self, x: Tensor, labels: Tensor | None, generator: Generator | None) -> Iterator[Tensor]:
        return self.sampler.path(lambda x, t: self.noise_in(x, t, labels), x, self.alpha_bars, generator)

    # ---------------------------------------------------------------------------------------------------- the way to noise

    def noise_trajectory(self, images: Tensor, *, frames: int = 40, generator: Generator | None = None) -> Tensor:
        """x_t at evenly chosen t, with the same ε at each: (frames, n, C, H, W) in [0, 1]."""
        x, noise = 2 * images - 1, normal_like(images, generator)
        times = torch.linspace(0, len(self.betas), frames).round().long()
        return torch.stack([shown(self.noised(x, t.expand(len(x)), noise)) for t in times])

    def noise_schedule(self) -> dict[str, Tensor]:
        """β_t, and the shares of the image and of the noise in x_t."""
        return {
            "β": torch.cat([self.betas[:1], self.betas]),
            "√ᾱ, of the image": self.alpha_bars.sqrt(),
            "√(1-ᾱ), of the noise": (1 - self.alpha_bars).sqrt(),
        }
