"""Samplers of diffusion and of flows: they go from noise to images with any given network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Generator, Tensor

from genrun.maths.linear_steps import LinearStep, multistep_steps
from genrun.maths.random_numbers import normal_like

Predict = Callable[[Tensor, float], Tensor]  # (x_t (n, C, H, W), t) → ε̂ or a velocity, of the same shape


class DiffusionSampler:
    """A sampler from x_T to x_0.

    Args:
        clip: clip x̂_0, the image that each step predicts, to [-1, 1].
    """

    def __init__(self, clip: bool = True) -> None:
        self.clip = clip

    def path(self, predict: Predict, x: Tensor, alpha_bars: Tensor, generator: Generator | None) -> Iterator[Tensor]:
        """Yield the state after each step, (n, C, H, W); the last one is x_0.

        Args:
            predict: (x_t, t) → ε̂, with t in 1 … T.
            x: x_T ~ N(0, I).
            alpha_bars: ᾱ_0 = 1, ᾱ_1, …, ᾱ_T: (T + 1,) float64.
        """
        raise NotImplementedError

    def linear_steps(self, alpha_bars: Tensor) -> list[LinearStep]:
        """Return the steps of `path` as numbers, for a network that predicts ε̂.

        Raises:
            ValueError: they are not linear.
        """
        raise ValueError(f"the steps of {type(self).__name__} are not known as numbers (linear_steps)")

    def image_step(self, t: int, alpha_bar: float) -> LinearStep:
        """Return a step at t whose y is x̂_0, see `denoised`."""
        of_noise = -(((1 - alpha_bar) / alpha_bar) ** 0.5)
        return LinearStep(t, alpha_bar**-0.5, of_noise, 1.0 if self.clip else math.inf)

    def denoised(self, x: Tensor, noise: Tensor, alpha_bar: float) -> tuple[Tensor, Tensor]:
        """Return x̂_0 by (17), clipped to [-1, 1] if `clip` is true, and the ε̂ that belongs to it."""
        image = (x - (1 - alpha_bar) ** 0.5 * noise) / alpha_bar**0.5
        if not self.clip:
            return image, noise
        image = image.clamp(-1, 1)
        return image, (x - alpha_bar**0.5 * image) / (1 - alpha_bar) ** 0.5


class StridingSampler(DiffusionSampler):
    """A sampler that visits only a few of the T times.

    Args:
        steps: S, number of evaluations of the network; the times are round(T (1 - k/S)), k = 0 … S.
        clip: see `DiffusionSampler`.
    """

    def __init__(self, steps: int, clip: bool = True) -> None:
        super().__init__(clip)
        if steps < 1:
            raise ValueError(f"model.sampler.steps: expected at least 1, got {steps}")
        self.steps = steps

    def times(self, last: int) -> list[int]:
        """Return the times T = t_0 > t_1 > … > t_S = 0, for T = `last`; there are at most T steps."""
        return torch.linspace(last, 0, min(self.steps, last) + 1, dtype=torch.float64).round().long().tolist()


class Ancestral(DiffusionSampler):
    r"""The reverse of the T steps ("Generative Imaging", (18) and (19)).

        μ_t = 1/√α_t (x_t - β_t/√(1 - ᾱ_t) ε̂),   x_{t-1} = μ_t + σ_t ε,   σ_t² = β_t (1 - ᾱ_{t-1})/(1 - ᾱ_t)

    References:
        Ho, Jain and Abbeel, Denoising diffusion probabilistic models, 2020, algorithm 2 (σ_t² is their β̃_t).
    """

    def path(self, predict: Predict, x: Tensor, alpha_bars: Tensor, generator: Generator | None) -> Iterator[Tensor]:
        bars = alpha_bars.tolist()
        for t in range(len(bars) - 1, 0, -1):
            alpha = bars[t] / bars[t - 1]
            _, noise = self.denoised(x, predict(x, t), bars[t])
            x = (x - (1 - alpha) / (1 - bars[t]) ** 0.5 * noise) / alpha**0.5  # (18)
            if t > 1:
                variance = (1 - alpha) * (1 - bars[t - 1]) / (1 - bars[t])
                x = x + variance**0.5 * normal_like(x, generator)  # (19)
            yield x

    def linear_steps(self, alpha_bars: Tensor) -> list[LinearStep]:
        bars, made = alpha_bars.tolist(), []
        for t in range(len(bars) - 1, 0, -1):
            alpha = bars[t] / bars[t - 1]
            share = (1 - alpha) / (1 - bars[t])  # of √(1 - ᾱ_t) ε̂ = x - √ᾱ_t x̂_0 in (18)
            variance = (1 - alpha) * (1 - bars[t - 1]) / (1 - bars[t])
            step = self.image_step(t, bars[t])._replace(
                keep=(1 - share) / alpha**0.5, add=share * bars[t] ** 0.5 / alpha**0.5, fresh=variance**0.5
            )
            made.append(step.unclipped())
        return made


class DDIM(StridingSampler):
    r"""Denoising diffusion implicit models: from t to an earlier s,

        x_s = √ᾱ_s x̂_0 + √(1 - ᾱ_s - σ²) ε̂ + σ ε,   σ = η √((1 - ᾱ_s)/(1 - ᾱ_t)) √(1 - ᾱ_t/ᾱ_s)

    Args:
        steps: S.
        eta: η; 0 makes the path from x_T to x_0 deterministic, 1 makes it that of `Ancestral` if S = T.
        clip: see `DiffusionSampler`.

    References:
        Song, Meng and Ermon, Denoising diffusion implicit models, 2021, (12) and (16).
    """

    def __init__(self, steps: int = 50, eta: float = 0.0, clip: bool = True) -> None:
        super().__init__(steps, clip)
        self.eta = checked_eta(eta)

    def path(self, predict: Predict, x: Tensor, alpha_bars: Tensor, generator: Generator | None) -> Iterator[Tensor]:
        times = self.times(len(alpha_bars) - 1)
        for t, s in pairwise(times):
            now, then = alpha_bars[t].item(), alpha_bars[s].item()
            image, noise = self.denoised(x, predict(x, t), now)
            sigma = self.eta * ((1 - then) / (1 - now) * (1 - now / then)) ** 0.5
            x = then**0.5 * image + max(0.0, 1 - then - sigma**2) ** 0.5 * noise
            if sigma:
                x = x + sigma * normal_like(x, generator)
            yield x

    def linear_steps(self, alpha_bars: Tensor) -> list[LinearStep]:
        made = []
        for t, s in pairwise(self.times(len(alpha_bars) - 1)):
            now, then = alpha_bars[t].item(), alpha_bars[s].item()
            sigma = self.eta * ((1 - then) / (1 - now) * (1 - now / then)) ** 0.5
            of_noise = (max(0.0, 1 - then - sigma**2) / (1 - now)) ** 0.5  # ε̂ = (x - √ᾱ_t x̂_0) / √(1 - ᾱ_t)
            step = self.image_step(t, now)._replace(keep=of_noise, add=then**0.5 - of_noise * now**0.5, fresh=sigma)
            made.append(step.unclipped())
        return made


class DPMSolver(StridingSampler):
    r"""DPM-Solver++(2M), see `multistep`, at a = √ᾱ_t and σ = √(1 - ᾱ_t).

    Args:
        steps: S.
        eta: η of `multistep`.
        clip: see `DiffusionSampler`.
    """

    def __init__(self, steps: int = 20, eta: float = 0.0, clip: bool = True) -> None:
        super().__init__(steps, clip)
        self.eta = checked_eta(eta)

    def path(self, predict: Predict, x: Tensor, alpha_bars: Tensor, generator: Generator | None) -> Iterator[Tensor]:
        times = self.times(len(alpha_bars) - 1)
        bars = alpha_bars[times].tolist()

        def image(x: Tensor, k: int) -> Tensor:
            return self.denoised(x, predict(x, times[k]), bars[k])[0]

        yield from multistep(image, x, [(bar**0.5, (1 - bar) ** 0.5) for bar in bars], self.eta, generator)

    def linear_steps(self, alpha_bars: Tensor) -> list[LinearStep]:
        times = self.times(len(alpha_bars) - 1)
        bars = alpha_bars[times].tolist()
        images = [self.image_step(t, bar) for t, bar in zip(times[:-1], bars[:-1], strict=True)]
        steps = multistep_steps(images, [(bar**0.5, (1 - bar) ** 0.5) for bar in bars], self.eta)
        return [step.unclipped() for step in steps]


def multistep(
    image: Callable[[Tensor, int], Tensor],
    x: Tensor,
    levels: Sequence[tuple[float, float]],
    eta: float,
    generator: Generator | None,
) -> Iterator[Tensor]:
    r"""Yield the states from noise to images by DPM-Solver++(2M).

    The linear part is solved exactly; the rest follows a line through the last two x̂.

    With x_t = a_t x_0 + σ_t ε, λ_t = log a_t/σ_t and h = λ_s - λ_t, from a level t to the next one s,

        x_s = σ_s/σ_t e^{-ηh} x_t + a_s (1 - e^{-(1+η)h}) D + σ_s √(1 - e^{-2ηh}) ε
        D = x̂(t) + h/(2 h') (x̂(t) - x̂(t')),   t', h': t and h of the step before

    and D = x̂(t) in the first and in the last step; the last step ends at x̂.

    Args:
        image: (x, k) → x̂, for a state x at level k.
        x: the state at the first level.
        levels: (a, σ) of each level; the last one has σ = 0.
        eta: η in [0, 1]; 0 follows the ordinary differential equation, 1 the stochastic one, whose fresh noise corrects errors of the
            network.

    References:
        Lu et al., DPM-Solver++, 2022, algorithm 2 (η = 0) and section 6 (SDE-DPM-Solver++(2M), η = 1).
    """
    before: tuple[Tensor, float] | None = None  # x̂ and h' of the step before
    for k, ((a, sigma), (next_a, next_sigma)) in enumerate(pairwise(levels)):
        expected = image(x, k)
        if not next_sigma:
            yield expected
            return
        h = math.log(next_a * sigma / (a * next_sigma)) if a else math.inf
        between = expected if before is None else expected + h / (2 * before[1]) * (expected - before[0])
        keep = next_sigma / sigma * (math.exp(-eta * h) if eta else 1.0)
        x = keep * x + next_a * -math.expm1(-(1 + eta) * h) * between
        if eta:
            x = x + next_sigma * (-math.expm1(-2 * eta * h)) ** 0.5 * normal_like(x, generator)
        before = expected, h
        yield x


def checked_eta(eta: float) -> float:
    """Return η if it is in [0, 1], otherwise raise a ValueError."""
    if not 0 <= eta <= 1:
        raise ValueError(f"model.sampler.eta: expected 0 to 1, got {eta}")
    return eta


class FlowSampler:
    """A sampler along dx/dt = v(x, t), from noise at t = 0 to images at t = 1.

    The times are t_k = u/(u + s (1 - u)), u = k/S, or, with ρ, those at which σ_k = (1 - t_k)/t_k, the noise in units of the image, is

        σ_k = (σ_max^{1/ρ} + k/(S - 1) (σ_min^{1/ρ} - σ_max^{1/ρ}))^ρ,   k < S,   but t_0 = 0, and t_S = 1

    Args:
        steps: S.
        shift: s; 1 makes all steps equal; more makes them shorter near the noise, where it is decided what an image shows, and longer near
            the image, where fine detail is lost by this.
        rho: ρ; None: by `shift`. The steps are short at both ends; more makes them shorter near the image.
        sigma_max, sigma_min: σ_max and σ_min. The first step leads from pure noise to σ_1, a little below σ_max.

    References:
        Esser et al., Scaling rectified flow transformers, 2024, (23) (the shift).
        Karras et al., Elucidating the design space of diffusion-based generative models, 2022, (5) (ρ).
    """

    def __init__(
        self,
        steps: int,
        shift: float = 1.0,
        rho: float | None = None,
        sigma_max: float = 20.0,
        sigma_min: float = 0.02,
    ) -> None:
        if steps < 1:
            raise ValueError(f"model.sampler.steps: expected at least 1, got {steps}")
        if steps == 1 and rho is not None:
            raise ValueError(
                "model.sampler.steps=1 needs model.sampler.rho=null: steps that are short at both ends are at least 2"
            )
        if shift <= 0:
            raise ValueError(f"model.sampler.shift: expected more than 0, got {shift}")
        if rho is not None and rho <= 0:
            raise ValueError(f"model.sampler.rho: expected more than 0, or null, got {rho}")
        if not 0 < sigma_min < sigma_max:
            raise ValueError(
                f"model.sampler.sigma_min and sigma_max: expected 0 < sigma_min < sigma_max, got {sigma_min} and {sigma_max}"
            )
        self.steps, self.shift = steps, shift
        self.rho, self.sigma_max, self.sigma_min = rho, sigma_max, sigma_min

    def check_options(self) -> None:
        """Check that no option is without effect.

        Raises:
            ValueError: one is.
        """
        if self.rho is not None and self.shift != 1:
            raise ValueError(
                f"model.sampler.shift={self.shift} needs model.sampler.rho=null: with rho={self.rho} the times do not depend on it"
            )
        if self.rho is not None and self.steps < 3:
            raise ValueError(
                f"model.sampler.steps={self.steps} needs model.sampler.rho=null: steps that are short at both ends are at least 3"
            )
        if self.steps == 1 and self.shift != 1:
            raise ValueError(
                f"model.sampler.shift={self.shift} needs model.sampler.steps above 1: one step goes all the way"
            )

    def times(self) -> list[float]:
        """Return the times 0 = t_0 < t_1 < … < t_S = 1."""
        if self.rho is None:
            even = [k / self.steps for k in range(self.steps + 1)]
            return [u / (u + self.shift * (1 - u)) for u in even]
        most, least = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        roots = [most + k / (self.steps - 1) * (least - most) for k in range(1, self.steps)]
        return [0.0, *(1 / (1 + root**self.rho) for root in roots), 1.0]

    def path(self, velocity: Predict, x: Tensor, generator: Generator | None) -> Iterator[Tensor]:
        """Yield the state after each step, (n, C, H, W); `velocity` maps (x_t, t), t in [0, 1], to v."""
        for t, s in pairwise(self.times()):
            x = self.step(velocity, x, t, s - t)
            yield x

    def step(self, velocity: Predict, x: Tensor, t: float, length: float) -> Tensor:
        """Take one step, from x_t to x_{t + length}."""
        raise NotImplementedError

    def linear_steps(self) -> list[LinearStep]:
        """Return the steps of `path` as numbers, for a network that predicts v.

        Raises:
            ValueError: they are not linear.
        """
        raise ValueError(f"the steps of {type(self).__name__} are not known as numbers (linear_steps)")


class Euler(FlowSampler):
    """x_{t+h} = x_t + h v(x_t, t), with one evaluation of the network in each step."""

    def step(self, velocity: Predict, x: Tensor, t: float, length: float) -> Tensor:
        return x + length * velocity(x, t)

    def linear_steps(self) -> list[LinearStep]:
        return [LinearStep(t, add=s - t) for t, s in pairwise(self.times())]


class Heun(FlowSampler):
    """x_{t+h} = x_t + h/2 (v(x_t, t) + v(x_t + h v(x_t, t), t + h)), with two evaluations of the network in each step."""

    def step(self, velocity: Predict, x: Tensor, t: float, length: float) -> Tensor:
        first = velocity(x, t)
        return x + length / 2 * (first + velocity(x + length * first, t + length))

    def linear_steps(self) -> list[LinearStep]:
        halves = []
        for t, s in pairwise(self.times()):
            halves.append(LinearStep(t, add=s - t, store_x=1.0, store=(s - t) / 2))
            halves.append(LinearStep(s, keep=0.0, add=(s - t) / 2, recall=1.0))
        return halves


class FlowDPMSolver(FlowSampler):
    """DPM-Solver++(2M), see `multistep`, at a = t and σ = 1 - t, where x̂ = x_t + (1 - t) v(x_t, t).

    Args:
        steps: S, number of evaluations of the network.
        eta: η of `multistep`.
        clip: clip x̂ to [-1, 1].
        shift, rho, sigma_max, sigma_min: see `FlowSampler`.
    """

    def __init__(
        self,
        steps: int,
        shift: float = 1.0,
        eta: float = 0.0,
        clip: bool = True,
        rho: float | None = None,
        sigma_max: float = 20.0,
        sigma_min: float = 0.02,
    ) -> None:
        super().__init__(steps, shift, rho, sigma_max, sigma_min)
        self.eta, self.clip = checked_eta(eta), clip

    def path(self, velocity: Predict, x: Tensor, generator: Generator | None) -> Iterator[Tensor]:
        times = self.times()

        def image(x: Tensor, k: int) -> Tensor:
            expected = x + (1 - times[k]) * velocity(x, times[k])
            return expected.clamp(-1, 1) if self.clip else expected

        yield from multistep(image, x, [(t, 1 - t) for t in times], self.eta, generator)

    def linear_steps(self) -> list[LinearStep]:
        times = self.times()
        limit = 1.0 if self.clip else math.inf
        images = [LinearStep(t, 1.0, 1 - t, limit) for t in times[:-1]]
        return [step.unclipped() for step in multistep_steps(images, [(t, 1 - t) for t in times], self.eta)]
