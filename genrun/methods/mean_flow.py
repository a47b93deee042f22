r"""Mean flow: a network learns the average velocity between two times, so that one step leads from noise to an image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from genrun.maths.linear_steps import LinearStep
from genrun.maths.random_numbers import normal_like, uniform_each
from genrun.maths.samplers import Euler
from genrun.methods.flow_matching import TIME_SCALE, FlowMatching
from genrun.types import Batch

TIMES_TOLD = 10.0  # the network is told times so many times as large; larger numbers make its derivative rough
LEAST_ERROR = 1e-3  # c of (22)
LEAST_STEP = 1e-5  # between two times of a sampler
BATCH_NORMS = nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm


class MeanFlow(FlowMatching):
    r"""Mean flow (Geng et al., "Mean flows for one-step generative modeling", arXiv 2505.13447).

    Time is that of `FlowMatching`: noise at 0, images at 1. The paper's runs backwards: its z_t, v, u(z_t, r, t) are x_{1-t}, -v and
    -u(x, 1-t, 1-r) here. From time t to a later one r, with the velocity v of straight lines,

        u(x_t, t, r) = 1/(r - t) ∫_t^r v(x_s, s) ds                                          (3)
        u(x_t, t, r) = v(x_t, t) + (r - t) du/dt,   du/dt = v ∂_x u + ∂_t u                   (6), (8)
        C = mean w ‖u_θ(x_t, t, r) - sg(u_tgt)‖²,   u_tgt = v_t + (r - t) du_θ/dt              (9), (10)
        v_t = x_1 - ε;   w = sg(1/(‖·‖² + c)^p)                                              (22)
        x_r = x_t + (r - t) u(x_t, t, r), if `ends` is `any`                                 (12)
        x_r = (1 - r) ε + r x̂_1,   x̂_1 = x_t + (1 - t) u(x_t, t, 1), if it is `image`

    sg: no gradient goes through it. Where r = t this is flow matching, and it is so for most images of a batch: only the others need the
    derivative, which is taken forwards, in 32 bits or more. Guidance ω is learnt (section 4.2): it makes v_t of an image with a label
    ω v_t + (1 - ω) u_θ(x_t, t, t, ∅), so that a step of a sample evaluates the network once.

    In one step the samples are the same for both `ends`, x_1 = ε + u(ε, 0, 1). With more steps and `ends: image`, each step predicts the
    image, since no other averages are learnt, and goes back to the next time with fresh noise ε ~ N(0, I) (Song et al., "Consistency
    models", arXiv 2303.01469, algorithm 1). If x̂_1 is distributed as images are, then x_r is distributed as in training, where image and
    noise are independent too. The noise (x_t - t x̂_1)/(1 - t) that x_t implies is not independent of x̂_1: with it, x_r would have too much
    variance, and images too much contrast.

    Args:
        image_shape: (C, H, W).
        num_classes: number of classes of the data.
        network: see `Denoiser`; its times are (n, 2), t and r - t.
        positional, of_denoiser: optimizer and the other options of `Denoiser`. `times` is how ends of intervals are drawn.
        sampler: the times of a sample's steps, each of which evaluates the network once.
        intervals: share of the images with r ≠ t.
        ends: where the intervals end: `any`, both ends are drawn, as published; or `image`, r = 1, since one step only needs averages up to
            the image, and (8) joins them to each other.
        tangent: which v du/dt follows: `drawn`, that of the image's own line, as published, or `predicted`, u_θ(x_t, t, t), which all lines
            through x_t share (Geng et al., "Improved mean flows", arXiv 2512.02012).
        power: p; 0 is the plain squared error.
    """

    drawing_options = ("sampler", "ends")

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        network: Callable[..., nn.Module],
        *positional: Any,
        sampler: Euler,
        intervals: float = 0.25,
        ends: Literal["image", "any"] = "image",
        tangent: Literal["drawn", "predicted"] = "predicted",
        power: float = 1.0,
        **of_denoiser: Any,
    ) -> None:
        if type(sampler) is not Euler:
            raise ValueError(f"model/sampler: mean flow only knows the steps of euler, got {type(sampler).__name__}")
        super().__init__(
            image_shape, num_classes, partial(network, times=2), *positional, sampler=sampler, **of_denoiser
        )
        if self.preconditioning is not None:
            raise ValueError("model.sigma_data is not for mean flow; leave it out")
        if any(isinstance(module, BATCH_NORMS) for module in self.network.modules()):
            raise ValueError(
                "model/network: mean flow needs a network without batch norm, such as unet, because of its derivative "
                f"over time; got {type(self.network).__name__}"
            )
        if not 0 <= intervals <= 1:
            raise ValueError(f"model.intervals: expected 0 to 1, got {intervals}")
        if power < 0:
            raise ValueError(f"model.power: expected a number of at least 0, got {power}")
        self.intervals, self.ends, self.tangent, self.power = intervals, ends, tangent, power

    def check_options(self) -> None:
        super().check_options()
        if self.intervals == 0:
            raise ValueError(
                "model.intervals: expected more than 0, got 0: samples take steps over intervals, which would not be learnt"
            )
        if self.intervals == 1 and (self.tangent == "predicted" or self.guidance != 1):
            raise ValueError(
                "model.intervals=1 needs model.tangent=drawn and model.guidance=1: the velocity at one time is not learnt"
            )

    log_prob = None  # the density of its flow is not that of its samples, which take large steps

    def not_compiled(self) -> str | None:
        return "the derivative over time (model.intervals) is taken forwards, which torch.compile does not support"

    def average(self, x: Tensor, t: Tensor, r: Tensor, labels: Tensor | None) -> Tensor:
        """Return u_θ from times t to r, (n,) each: (n, C, H, W) → the same."""
        return self.network(x, TIMES_TOLD * torch.stack([t, r - t], 1), labels)

    # ------------------------------------------------------------------------------------------------------------ training

    def draw_intervals(self, images: Tensor, generator: Generator | None) -> tuple[Tensor, Tensor, Tensor]:
        """Draw t ≤ r for each image, (n,) each, and return the places of those with an interval."""
        t = self.draw_times(images, generator)
        if self.ends == "image":
            r = torch.ones_like(t)
        else:
            other = self.draw_times(images, generator)
            t, r = torch.minimum(t, other), torch.maximum(t, other)
        apart = uniform_each(images, generator) < self.intervals
        return t, torch.where(apart, r, t), apart.nonzero().squeeze(1)

    def errors(self, images: Tensor, labels: Tensor | None, generator: Generator | None = None) -> Tensor:
        """Return ‖u_θ - sg(u_tgt)‖² of each image, at random times: images (n, C, H, W) on [-1, 1] → (n,)."""
        t, r, apart = self.draw_intervals(images, generator)
        noise = normal_like(images, generator)
        x = torch.lerp(noise, images, t.view(-1, 1, 1, 1))
        target = self.velocity(images - noise, x, t, labels)
        if len(apart):
            some = None if labels is None else labels[apart]
            span = (r - t)[apart].view(-1, 1, 1, 1)
            change = self.derivative(x[apart], t[apart], r[apart], target[apart], some)
            target = target.index_add(0, apart, span * change)  # (10)
        return (self.average(x, t, r, labels) - target).float().square().flatten(1).sum(1)

    @torch.no_grad()
    def velocity(self, drawn: Tensor, x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        """Return v_t from the `drawn` x_1 - ε: ω v_t + (1 - ω) u_θ(x_t, t, t, ∅) where an image has a label."""
        if labels is None or self.guidance == 1:
            return drawn
        without = self.average(x, t, t, torch.full_like(labels, self.num_classes)).to(drawn)
        guided = torch.lerp(without, drawn, self.guidance)
        return torch.where((labels < self.num_classes).view(-1, 1, 1, 1), guided, drawn)

    @torch.no_grad()
    def derivative(self, x: Tensor, t: Tensor, r: Tensor, velocity: Tensor, labels: Tensor | None) -> Tensor:
        """Return du_θ/dt along a velocity, with r fixed, (8): (n, C, H, W) → the same."""
        # mixed precision has no derivatives forwards, and fused attention none either
        with torch.autocast(x.device.type, enabled=False), sdpa_kernel(SDPBackend.MATH):
            if self.tangent == "predicted":
                velocity = self.average(x, t, t, labels)
            along = velocity, torch.ones_like(t), torch.zeros_like(t)
            return torch.func.jvp(lambda *at: self.average(*at, labels), (x, t, r), along)[1]

    def losses(self, images: Tensor, labels: Tensor | None, generator: Generator | None = None) -> dict[str, Tensor]:
        return {"average_velocity": self.errors(images, labels, generator).mean() / images[0].numel()}

    def training_step(self, batch: Batch, _: int) -> Tensor:
        self.follow_schedule()
        errors = self.errors(2 * batch.image - 1, self.some_labels(batch))
        # weighted, the loss is nearly constant: only the plain error shows what is learnt
        self.track(average_velocity=errors.mean() / batch.image[0].numel())
        return (errors / (errors.detach() + LEAST_ERROR) ** self.power).mean()  # (22)

    # ---------------------------------------------------------------------------------------------------------- generation

    def path(self, x: Tensor, labels: Tensor | None, generator: Generator | None) -> Iterator[Tensor]:
        if self.ends == "any":
            yield from super().path(x, labels, generator)
            return
        for t, r in pairwise(self.sampler.times()):
            x = x + (1 - t) * self.predict(x, TIME_SCALE * t, labels)
            if r < 1:
                x = torch.lerp(normal_like(x, generator), x, r)
            yield x

    def linear_steps(self) -> list[LinearStep]:
        if self.ends == "any":
            return super().linear_steps()
        images = [
            LinearStep(TIME_SCALE * t, of_x=1.0, of_output=1 - t, keep=0.0, add=r, fresh=1 - r)
            for t, r in pairwise(self.sampler.times())
        ]
        return [step.unclipped() for step in images]

    def predict(self, x: Tensor, time: float | Tensor, labels: Tensor | None) -> Tensor:
        """Return u_θ from the time of a step, for all images, to that of its end (`ends`): (n, C, H, W) → the same."""
        times = x.new_tensor(self.sampler.times())
        t = torch.as_tensor(time / TIME_SCALE, dtype=times.dtype, device=times.device).reshape(1)
        following = times.index_select(0, (times < t + LEAST_STEP).sum().reshape(1))
        r = torch.ones_like(t) if self.ends == "image" else following
        return self.average(x, t.expand(x.shape[0]), r.expand(x.shape[0]), labels)
