r"""Denoising diffusion: a network learns which noise was added to images; new images are made by removing noise step by step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Generator, Tensor

from genrun.maths.linear_steps import LinearStep
from genrun.maths.random_numbers import normal_like
from genrun.maths.samplers import DiffusionSampler
from genrun.maths.schedules import BetaSchedule
from genrun.methods.denoiser import Denoiser, to_unit_interval


class DDPM(Denoiser):
    r"""Denoising diffusion probabilistic model ("Generative Imaging", sections 3.2.4 and 3.4.1).

        x_t = √ᾱ_t x_0 + √(1 - ᾱ_t) ε,   ε ~ N(0, I),   t = 1 … T                          (17), the bars restored
        C_noise = mean (ε̂(x_t, t) - ε)²                                                    (34)
        C_grad = mean (Δ_x ε̂ - Δ_x ε)² + mean (Δ_y ε̂ - Δ_y ε)²,   Δ: to the next pixel      (35)
        C = α C_grad + C_noise                                                              (36)

    With `target: velocity` the output of the network is v̂ = √ᾱ_t ε̂ - √(1 - ᾱ_t) x̂_0 (Salimans and Ho, 2022). Its squared error then
    replaces (34), and ε̂ = √ᾱ_t v̂ + √(1 - ᾱ_t) x_t. So where hardly any of the image is left, the network must predict the image.

    With `sigma_data`, the output of the network is that of EDM, which is the negative of v̂ for images of deviation 1.

    The sampler turns x_T ~ N(0, I) into an image (18, 19). Any sampler works with a trained model.

    Args:
        positional, of_denoiser: image_shape, num_classes, network, optimizer and the options of `Denoiser`.
        beta_schedule: β_1 … β_T.
        sampler: how to go from noise to images.
        target: the network predicts the `noise` ε̂, as in the document, or the `velocity` v̂.
        gradient_weight: α; (35) is computed for the output of the network.

    References:
        Ho, Jain and Abbeel, Denoising diffusion probabilistic models, 2020.
    """

    drawing_options = ("sampler", "guidance")

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
        if target == "noise" and self.preconditioning is not None:
            raise ValueError("model.sigma_data needs model.target=velocity, got noise")
        self.sampler, self.target, self.gradient_weight = sampler, target, gradient_weight
        self.betas = beta_schedule.betas()  # (T,) float64
        self.alpha_bars = torch.cat([self.betas.new_ones(1), (1 - self.betas).cumprod(0)])  # ᾱ_0 = 1 … ᾱ_T

    def coefficients(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return √ᾱ_t and √(1 - ᾱ_t) at times t (n,) in 0 … T: (n, 1, 1, 1) each."""
        of_image, of_noise = self.alpha_bars.sqrt(), (1 - self.alpha_bars).sqrt()
        return of_image.to(like)[t].view(-1, 1, 1, 1), of_noise.to(like)[t].view(-1, 1, 1, 1)

    def levels(self, times: Tensor) -> tuple[Tensor, Tensor]:
        return self.coefficients(times.long(), times)

    def share_of(self, sigma: Tensor) -> Tensor:
        sigmas = ((1 - self.alpha_bars) / self.alpha_bars).sqrt().to(sigma)  # rising, of t = 0 … T
        after = torch.searchsorted(sigmas, sigma).clamp(1, len(self.betas))
        return (after - 0.5).to(sigma) / len(self.betas)  # `losses` rounds it up to this t

    def noised(self, images: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Add noise to images x_0 (n, C, H, W) on [-1, 1]: return x_t at times t (n,), (17)."""
        of_image, of_noise = self.coefficients(t, images)
        return of_image * images + of_noise * noise

    def losses(self, images: Tensor, labels: Tensor | None, generator: Generator | None = None) -> dict[str, Tensor]:
        last = len(self.betas)
        t = (self.draw_times(images, generator) * last).long().clamp(max=last - 1) + 1  # 1 … T
        target = noise = normal_like(images, generator)
        if self.target == "velocity":
            of_image, of_noise = self.coefficients(t, images)
            if self.preconditioning is not None:
                target = self.preconditioning.target(images, noise, of_image, of_noise)
            else:
                target = of_image * noise - of_noise * images
        error = (self.output(self.noised(images, t, noise), t.to(images), labels) - target).float()
        terms = {self.target: error.square().mean()}  # (34)
        if self.gradient_weight:
            terms["gradient"] = self.gradient_weight * sum(error.diff(dim=d).square().mean() for d in (3, 2))  # (35)
        return terms

    def of_noise(self, t: int) -> tuple[float, float]:
        """Return the factors of x_t and of the output of the network in ε̂."""
        of_image, of_noise = self.alpha_bars[t].item() ** 0.5, (1 - self.alpha_bars[t].item()) ** 0.5
        if self.preconditioning is not None:
            return self.preconditioning.of_noise(of_image, of_noise)
        return (of_noise, of_image) if self.target == "velocity" else (0.0, 1.0)

    def noise_in(self, x: Tensor, t: int, labels: Tensor | None) -> Tensor:
        """Return ε̂ for images x_t (n, C, H, W) that all have the same time t."""
        out = self.predict(x, t, labels)
        if self.target == "noise":
            return out
        of_x, of_output = self.of_noise(t)
        return of_output * out + of_x * x

    def path(self, x: Tensor, labels: Tensor | None, generator: Generator | None) -> Iterator[Tensor]:
        return self.sampler.path(lambda x, t: self.noise_in(x, t, labels), x, self.alpha_bars, generator)

    def linear_steps(self) -> list[LinearStep]:
        steps = self.sampler.linear_steps(self.alpha_bars)
        if self.target == "noise":
            return steps
        return [step.of_other_output(step.time, *self.of_noise(step.time)) for step in steps]

    # ---------------------------------------------------------------------------------------------------------- likelihood

    likelihoods_at_most = 200

    @torch.no_grad()
    def elbo(self, images: Tensor, *, samples: int = 1, generator: Generator | None = None) -> Tensor:
        r"""Return a lower bound of log p(x) of images in [0, 1], in nats: (n, C, H, W) → (n,).

            log p(x_0) ≥ -L_T - Σ_{t=2}^T L_{t-1} - L_0                                          (Ho et al., (5))
            L_T = KL(q(x_T | x_0) ‖ N(0, I)),   L_{t-1} = ½ (SNR_{t-1} - SNR_t) ‖x_0 - x̂_0(x_t)‖²,   SNR_t = ᾱ_t/(1 - ᾱ_t)
            L_0 = -log N(x_0; x̂_0(x_1), I/SNR_1)

        for steps with the variance of `Ancestral`, whatever the sampler, by one x_t for each t. A conditional method is asked without
        labels; the values are NaN if it never was in training.

        Args:
            samples: number of estimates, whose mean is taken: it is more precise, not tighter.

        References:
            Kingma et al., Variational diffusion models, 2021, (13) and (14) (the form of L_{t-1}).
        """
        x = 2 * images.to(next(self.network.parameters())) - 1
        if self.never_without_label():
            return torch.full_like(x[:, 0, 0, 0], math.nan)
        return torch.stack([self.bound(x, generator) for _ in range(samples)]).mean(0) + x[0].numel() * math.log(2)

    def bound(self, x: Tensor, generator: Generator | None) -> Tensor:
        """Return one estimate of the bound for images x_0 (n, C, H, W) on [-1, 1]: (n,); see `elbo`."""
        bars, size = self.alpha_bars.tolist(), x[0].numel()
        snr = [bar / (1 - bar) for bar in bars[1:]]  # of t = 1 … T
        left = bars[-1]
        total = 0.5 * (left * x.flatten(1).square().sum(1) - size * (left + math.log1p(-left)))  # L_T
        total = total + 0.5 * size * math.log(2 * math.pi / snr[0])  # of L_0
        # at t = 1 the factor is SNR_1, of L_0
        for t, (before, now) in enumerate(pairwise([2 * snr[0], *snr]), start=1):
            noised = self.noised(x, torch.full((len(x),), t, device=x.device), normal_like(x, generator))
            image = (noised - (1 - bars[t]) ** 0.5 * self.noise_in(noised, t, None)) / bars[t] ** 0.5
            total = total + 0.5 * (before - now) * (image - x).flatten(1).square().sum(1)  # L_{t-1}
        return -total

    # ---------------------------------------------------------------------------------------------------- from images to noise

    def noise_trajectory(self, images: Tensor, *, frames: int = 40, generator: Generator | None = None) -> Tensor:
        """Return x_t at evenly spaced t, with the same ε at each t: (frames, n, C, H, W) in [0, 1]."""
        x, noise = 2 * images - 1, normal_like(images, generator)
        times = torch.linspace(0, len(self.betas), frames).round().long()
        return torch.stack([to_unit_interval(self.noised(x, t.expand(len(x)), noise)) for t in times])

    def noise_schedule(self) -> dict[str, Tensor]:
        """Return β_t, and the shares of the image and of the noise in x_t."""
        return {
            "β": torch.cat([self.betas[:1], self.betas]),
            "√ᾱ, of the image": self.alpha_bars.sqrt(),
            "√(1-ᾱ), of the noise": (1 - self.alpha_bars).sqrt(),
        }
