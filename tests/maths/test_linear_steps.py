"""Steps as numbers take the same way as the samplers that they come from."""

from __future__ import annotations

import math

import pytest
import torch

from genrun.maths.samplers import DDIM, Ancestral, DiffusionSampler, DPMSolver, Euler, FlowDPMSolver, FlowSampler, Heun

BARS = torch.cat([torch.ones(1), torch.linspace(0.99, 0.9, 30).cumprod(0)]).double()
DIFFUSION = [
    Ancestral(clip=True),
    Ancestral(clip=False),
    DDIM(steps=7),
    DDIM(steps=7, eta=1.0, clip=False),
    DPMSolver(steps=7),
    DPMSolver(steps=7, eta=1.0),
    DPMSolver(steps=1, clip=False),
]
FLOW = [
    Euler(5),
    Heun(4, shift=3.0),
    FlowDPMSolver(6),
    FlowDPMSolver(6, shift=8.0, eta=1.0),
    FlowDPMSolver(5, clip=False),
]


def network(x, t):
    return torch.sin(2 * x) + x.roll(1, -1) * math.cos(t) + 0.3


def walk(steps, predict, x, generator):
    """Take linear steps; ε is drawn only where it is needed, as the samplers do."""
    memory = torch.zeros_like(x)
    for step in steps:
        y = (step.of_x * x + step.of_output * predict(x, step.time)).clamp(-step.limit, step.limit)
        fresh = step.fresh * torch.randn(x.shape, generator=generator, dtype=x.dtype) if step.fresh else 0
        x, memory = (
            step.keep * x + step.add * y + step.recall * memory + fresh,
            step.store_x * x + step.store * y,
        )
    return x


@pytest.mark.parametrize("sampler", [*DIFFUSION, *FLOW], ids=lambda one: type(one).__name__)
def test_linear_steps_are_the_path(sampler):
    x = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    schedule = [BARS] if isinstance(sampler, DiffusionSampler) else []
    seeded = [torch.Generator().manual_seed(1) for _ in range(2)]
    *_, expected = sampler.path(network, x, *schedule, seeded[0])
    got = walk(sampler.linear_steps(*schedule), network, x, seeded[1])
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)
    assert (expected - x).abs().max() > 0.1


def test_a_network_with_another_output_takes_the_same_step():
    (step,) = DPMSolver(steps=1).linear_steps(BARS)
    bar = BARS[-1].item()
    of_velocity = step.of_other_output(30, (1 - bar) ** 0.5, bar**0.5)
    assert of_velocity.of_x == pytest.approx(bar**0.5) and of_velocity.of_output == pytest.approx(-((1 - bar) ** 0.5))


@pytest.mark.parametrize(("base", "schedule"), [(DiffusionSampler(), [BARS]), (FlowSampler(3), [])])
def test_a_sampler_without_numbers_says_so(base, schedule):
    with pytest.raises(ValueError, match="are not known as numbers"):
        base.linear_steps(*schedule)
