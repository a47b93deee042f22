r"""Flow matching: a network learns the velocity of straight lines from noise to images; new images are made by following it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Generator, Tensor

from genrun.maths.change_of_variables import log_density
from genrun.maths.linear_steps import LinearStep
from genrun.maths.random_numbers import normal_like
from genrun.maths.samplers import FlowSampler, Heun
from genrun.methods.denoiser import Denoiser, to_unit_interval

TIME_SCALE = 1000.0  # the sinusoids of the networks are made for times of some hundreds
# short steps at both ends; 100 evaluations, each with its gradient
DENSITY_TIMES = Heun(50, rho=7.0, sigma_max=80.0, sigma_min=0.002).times()[::-1]


class FlowMatching(Denoiser):
    r"""Rectified flow (Liu, Gong and Liu, "Flow straight and fast", 2023; Lipman et al., "Flow matching", 2023).

        x_t = (1 - t) ε + t x_1,   ε ~ N(0, I),   t in [0, 1]                              (Liu et al., (1))
        C = mean (v(x_t, t) - (x_1 - ε))²                                                    (Liu et al., (1))
        dx/dt = v(x, t) from x_0 = ε to an image x_1

    With `sigma_data`, the output of the network is that of EDM, from which v follows, and whose error is the loss.

    Args:
        positional, of_denoiser: image_shape, num_classes, network, optimizer and the options of `Denoiser`.
        sampler: how to follow dx/dt.
    """

    drawing_options = ("sampler", "guidance")

    def __init__(
        self,
        *positional: Any,
        sampler: FlowSampler,
        **of_denoiser: Any,
    ) -> None:
        super().__init__(*positional, **of_denoiser)
        self.sampler = sampler

    def levels(self, times: Tensor) -> tuple[Tensor, Tensor]:
        t = (times / TIME_SCALE).view(-1, 1, 1, 1)
        return t, 1 - t

    def share_of(self, sigma: Tensor) -> Tensor:
        return 1 / (1 + sigma)

    def losses(self, images: Tensor, labels: Tensor | None, generator: Generator | None = None) -> dict[str, Tensor]:
        t = self.draw_times(images, generator)
        noise = normal_like(images, generator)
        x = torch.lerp(noise, images, t.view(-1, 1, 1, 1))
        target = images - noise
        if self.preconditioning is not None:
            target = self.preconditioning.target(images, noise, *self.levels(TIME_SCALE * t))
        error = self.output(x, TIME_SCALE * t, labels) - target
        return {"velocity": error.float().square().mean()}

    def of_velocity(self, t: float) -> tuple[float, float]:
        """Return the factors of x_t and of the output of the network in v = x̂_1 - ε̂."""
        if self.preconditioning is None:
            return 0.0, 1.0
        image, noise = self.preconditioning.of_image(t, 1 - t), self.preconditioning.of_noise(t, 1 - t)
        return image[0] - noise[0], image[1] - noise[1]

    def velocity_in(self, x: Tensor, t: float, labels: Tensor | None) -> Tensor:
        """Return v for images x_t (n, C, H, W) that all have the same time t."""
        out = self.predict(x, TIME_SCALE * t, labels)
        if self.preconditioning is None:
            return out
        of_x, of_output = self.of_velocity(t)
        return of_output * out + of_x * x

    def path(self, x: Tensor, labels: Tensor | None, generator: Generator | None) -> Iterator[Tensor]:
        return self.sampler.path(lambda x, t: self.velocity_in(x, t, labels), x, generator)

    def linear_steps(self) -> list[LinearStep]:
        steps = self.sampler.linear_steps()
        return [step.of_other_output(TIME_SCALE * step.time, *self.of_velocity(step.time)) for step in steps]

    # ---------------------------------------------------------------------------------------------------------- likelihood

    def check_options(self) -> None:
        self.sampler.check_options()

    likelihoods_at_most = 200

    @torch.no_grad()
    def log_prob(self, images: Tensor) -> Tensor:
        """Return log p(x) of images (n, C, H, W) in [0, 1] by dx/dt from x_0 ~ N(0, I), in nats: (n,); see `log_density`.

        This is exact but for the steps and the estimate of the trace, which draws the same numbers in every call. A sampler that adds noise
        or clips has another density. A conditional method is asked without labels; the values are NaN if it never was in training.
        """
        x = 2 * images.to(next(self.network.parameters())) - 1
        if self.never_without_label():
            return torch.full_like(x[:, 0, 0, 0], math.nan)
        generator = Generator(x.device).manual_seed(0)
        nats = log_density(lambda x, t: self.velocity_in(x, t, None), x, DENSITY_TIMES, generator)
        return nats + x[0].numel() * math.log(2)  # from [-1, 1] to [0, 1]

    # ---------------------------------------------------------------------------------------------------- from images to noise

    def noise_trajectory(self, images: Tensor, *, frames: int = 40, generator: Generator | None = None) -> Tensor:
        """Return the straight line from each image to noise: (frames, n, C, H, W) in [0, 1]."""
        x, noise = 2 * images - 1, normal_like(images, generator)
        return torch.stack(
            [to_unit_interval(torch.lerp(x, noise, share)) for share in torch.linspace(0, 1, frames).tolist()]
        )

    def noise_schedule(self) -> dict[str, Tensor]:
        """Return the shares of the image and of the noise in x_t, from the image to the noise."""
        t = torch.linspace(1, 0, 101)
        return {"t, of the image": t, "1-t, of the noise": 1 - t}
