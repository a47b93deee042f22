"""Samplers of diffusion: the document's steps by hand, and data whose noise is known exactly."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.diffusion import SHAPE, bars, normal, seeded
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor

from genrun.maths.samplers import DDIM, Ancestral, DPMSolver, FlowSampler
from genrun.maths.schedules import Cosine, Linear

# -------------------------------------------------------------------------------------------------------- steps by hand


def formula(x, t):
    return 0.4 * x.sin() + 0.1 * t


@pytest.mark.parametrize("clip", [False, True])
def test_ancestral_steps_are_18_and_19(clip):
    """Clipped: the mean of q(x_{t-1} | x_t, x̂_0), (7) of Ho et al., which is (18) where nothing is clipped."""
    schedule = Linear(6, 0.05, 0.5)
    beta, bar = np.array([0.0, *schedule.betas().tolist()]), bars(schedule)
    x = 2 * normal(2, *SHAPE)
    found = list(Ancestral(clip).path(formula, x, torch.from_numpy(bar), seeded(9)))
    generator, x = seeded(9), x.numpy()
    for t in range(6, 0, -1):
        noise = 0.4 * np.sin(x) + 0.1 * t
        mean = (x - beta[t] / np.sqrt(1 - bar[t]) * noise) / np.sqrt(1 - beta[t])  # (18)
        if clip:
            image = np.clip((x - np.sqrt(1 - bar[t]) * noise) / np.sqrt(bar[t]), -1, 1)
            of_image = np.sqrt(bar[t - 1]) * beta[t] / (1 - bar[t])
            mean = of_image * image + np.sqrt(1 - beta[t]) * (1 - bar[t - 1]) / (1 - bar[t]) * x
        sigma = np.sqrt(beta[t] * (1 - bar[t - 1]) / (1 - bar[t]))
        fresh = torch.randn(2, *SHAPE, generator=generator, dtype=torch.float64).numpy() if t > 1 else 0.0
        x = mean + sigma * fresh  # (19)
        np.testing.assert_allclose(found[6 - t], x, rtol=1e-9, atol=1e-12)
    assert len(found) == 6 and (not clip or abs(x).max() <= 1)


@pytest.mark.parametrize("clip", [False, True])
def test_ddim_with_all_noise_and_all_steps_is_ancestral(clip):
    alpha_bars = torch.from_numpy(bars(Cosine(12)))
    x = normal(2, *SHAPE)
    one = list(DDIM(12, eta=1.0, clip=clip).path(formula, x, alpha_bars, seeded(4)))
    other = list(Ancestral(clip).path(formula, x, alpha_bars, seeded(4)))
    assert len(one) == len(other) == 12
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-7)


def test_the_variance_that_ddim_adds_is_eta_squared_of_the_posteriors():
    alpha_bars, eta = torch.from_numpy(bars(Linear(8, 0.05, 0.4))), 0.6
    bar = alpha_bars.numpy()
    x = normal(1, 1, 1, 1).expand(40_000, 1, 1, 1)
    for steps in (8, 2):
        s = 8 - 8 // steps
        first = next(DDIM(steps, eta, clip=False).path(formula, x, alpha_bars, seeded()))
        alpha = bar[8] / bar[s]
        variance = eta**2 * (1 - alpha) * (1 - bar[s]) / (1 - bar[8])
        assert first.var().item() == pytest.approx(variance, rel=0.03)


# -------------------------------------------------------------------------------------------------------- deterministic


@pytest.mark.parametrize("sampler", [DDIM(5), DPMSolver(5)], ids=["ddim", "dpm_solver"])
def test_equal_noise_makes_equal_images_and_nothing_is_drawn(sampler):
    alpha_bars, x = torch.from_numpy(bars(Cosine(40))), normal(2, *SHAPE)
    generator = seeded(3)
    before, everywhere = generator.get_state(), torch.get_rng_state()
    paths = [list(sampler.path(formula, x, alpha_bars, chosen)) for chosen in (generator, None)]
    assert all(torch.equal(a, b) for a, b in zip(*paths, strict=True)) and len(paths[0]) == 5
    assert torch.equal(generator.get_state(), before) and torch.equal(torch.get_rng_state(), everywhere)


@pytest.mark.parametrize("steps", [1, 2, 7, 40, 1000])
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("kind", [DDIM, DPMSolver])
@pytest.mark.parametrize("schedule", [Cosine(40), Linear(40)], ids=["cosine", "linear"])
def test_true_noise_of_one_image_leads_to_that_image(steps, clip, kind, schedule):
    bar = bars(schedule)
    image = torch.rand(2, *SHAPE, generator=seeded(), dtype=torch.float64) * 2 - 1

    def true_noise(x: Tensor, t: int) -> Tensor:
        return (x - math.sqrt(bar[t]) * image) / math.sqrt(1 - bar[t])

    *_, last = kind(steps, clip=clip).path(true_noise, normal(2, *SHAPE), torch.from_numpy(bar), None)
    torch.testing.assert_close(last, image, rtol=0, atol=1e-9)


@pytest.mark.parametrize("schedule", [Cosine(30), Linear(30)], ids=["cosine", "linear"])
def test_ancestral_ends_at_the_image_whose_noise_it_is_told(schedule):
    bar = bars(schedule)
    image = torch.rand(2, *SHAPE, generator=seeded(), dtype=torch.float64) * 2 - 1
    path = Ancestral().path(
        lambda x, t: (x - math.sqrt(bar[t]) * image) / math.sqrt(1 - bar[t]),
        normal(2, *SHAPE),
        torch.from_numpy(bar),
        seeded(),
    )
    *_, last = path
    torch.testing.assert_close(last, image, rtol=0, atol=1e-9)


# ----------------------------------------------------------------------------------------------------- orders, Gaussian


def error_on_a_gaussian(sampler, steps: int) -> float:
    """Images of N(m, s²): their ε̂, and the exact way (probability flow), are known in closed form. The error is half the way down.

    λ = ½ log ᾱ/(1 - ᾱ) falls smoothly but unevenly with t.
    """
    m, s, last = 0.4, 0.3, 6400
    logits = [2 * (3 - 6 * (t / last) ** 1.5) for t in range(last + 1)]
    bar = np.array([1.0, *(1 / (1 + math.exp(-logit)) for logit in logits[1:])])
    x = normal(200, 1, 1, 1)

    def deviation(t: int) -> float:
        return math.sqrt(bar[t] * s**2 + 1 - bar[t])

    def noise(x: Tensor, t: int) -> Tensor:
        return math.sqrt(1 - bar[t]) * (x - math.sqrt(bar[t]) * m) / deviation(t) ** 2

    half = last // 2
    exact = math.sqrt(bar[half]) * m + deviation(half) * (x - math.sqrt(bar[last]) * m) / deviation(last)
    path = list(sampler(steps, clip=False).path(noise, x, torch.from_numpy(bar), None))
    return (path[steps // 2 - 1] - exact).square().mean().sqrt().item()


@pytest.mark.parametrize(("sampler", "ratio"), [(DDIM, 2), (DPMSolver, 4)], ids=["ddim", "dpm_solver"])
def test_twice_the_steps_divide_the_error(sampler, ratio):
    errors = [error_on_a_gaussian(sampler, steps) for steps in (32, 64, 128, 256)]
    for few, many in pairwise(errors):
        assert few / many == pytest.approx(ratio, rel=0.15)


def test_dpm_solver_is_nearer_than_ddim_with_the_same_evaluations():
    assert error_on_a_gaussian(DPMSolver, 32) < error_on_a_gaussian(DDIM, 32) / 4


@pytest.mark.parametrize(
    "sampler",
    [Ancestral(clip=False), DPMSolver(40, eta=1, clip=False), DPMSolver(40, eta=0.5, clip=False)],
    ids=["ancestral", "dpm_solver", "dpm_solver, half"],
)
def test_noisy_samples_of_a_gaussian_are_that_gaussian(sampler):
    m, s = 0.4, 0.3
    bar = bars(Cosine(200))

    def noise(x: Tensor, t: int) -> Tensor:
        return math.sqrt(1 - bar[t]) * (x - math.sqrt(bar[t]) * m) / (bar[t] * s**2 + 1 - bar[t])

    *_, last = sampler.path(noise, normal(20_000, 1, 1, 1), torch.from_numpy(bar), seeded())
    assert last.mean().item() == pytest.approx(m, abs=0.01) and last.std().item() == pytest.approx(s, rel=0.03)


DEVIATIONS = [1.0, 0.5, 0.3, 0.2, 0.1, 0.05]  # of images in [-1, 1]; one step of 256 has a deviation of 0.0023


def variance_kept(path: Iterator[Tensor]) -> list[float]:
    """Return the variance of samples of Gaussians with these deviations, divided by the true one."""
    *_, last = path
    return (last.var(0).flatten() / torch.tensor(DEVIATIONS, dtype=torch.float64) ** 2).tolist()


def sampler_of(name: str) -> Any:
    options = OmegaConf.load(Path(__file__).parents[2] / f"conf/model/sampler/{name}.yaml")
    return instantiate(options, **({"clip": False} if "clip" in options else {}))


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("flow_dpm_solver", 0.75),
        ("euler", 0.75),
        ("heun", 0.75),
        ("dpm_solver", 0.75),
        ("ddim", 0.7),
        ("ancestral", 0.9),
    ],
)
def test_no_direction_of_a_gaussian_loses_its_variance(name, least):
    """With the exact velocity or noise of independent Gaussians, the samples have their variances, in every direction."""
    sampler, variance = sampler_of(name), torch.tensor(DEVIATIONS, dtype=torch.float64).square()
    x = normal(40_000, 1, 1, len(DEVIATIONS))
    if isinstance(sampler, FlowSampler):

        def velocity(x: Tensor, t: float) -> Tensor:  # E[x_1 - x_0 | x_t], x_t = t x_1 + (1 - t) x_0
            return x * (t * variance - (1 - t)) / (t**2 * variance + (1 - t) ** 2)

        kept = variance_kept(sampler.path(velocity, x, seeded()))
    else:
        bar = bars(Cosine(500))

        def noise(x: Tensor, t: int) -> Tensor:
            return math.sqrt(1 - bar[t]) * x / (bar[t] * variance + 1 - bar[t])

        kept = variance_kept(sampler.path(noise, x, torch.from_numpy(bar), seeded()))
    assert min(kept[:-1]) > least and max(kept) < 1.25
    assert kept[-1] > 0.4  # a deviation of 6 steps of 256


# ---------------------------------------------------------------------------------------------------------------- times


def test_the_times_of_few_steps_go_evenly_from_t_to_0():
    assert DDIM(5).times(500) == [500, 400, 300, 200, 100, 0]
    assert DPMSolver(1).times(7) == [7, 0]
    assert DDIM(50).times(4) == [4, 3, 2, 1, 0]  # no more than there are
