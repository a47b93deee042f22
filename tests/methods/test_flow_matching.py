"""Flow matching: its target by hand, its times by their distribution, its samplers on a Gaussian whose velocity is known exactly."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from scipy import stats
from torch import Generator, Tensor, nn

from genrun.maths.samplers import Euler, FlowDPMSolver, Heun
from genrun.methods.flow_matching import FlowMatching

SHAPE = (2, 3, 4)
M, S = 0.2, 0.25  # images of N(m, s²)


class Velocity(nn.Module):
    """E(x_1 - ε | x_t) for x_t = (1-t) ε + t x_1, x_1 ~ N(m, s²); it is told 1000 t, and remembers what it was asked."""

    def __init__(self, image_shape, num_classes: int) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones((), dtype=torch.float64))
        self.asked: list[tuple[Tensor, Tensor, Tensor | None]] = []

    def forward(self, x: Tensor, times: Tensor, labels: Tensor | None = None) -> Tensor:
        self.asked.append((x, times, labels))
        t = (times / 1000).view(-1, 1, 1, 1)
        shift = 0 if labels is None else (labels + 1.0).square().view(-1, 1, 1, 1)
        slope = (t * S**2 - (1 - t)) / (t**2 * S**2 + (1 - t) ** 2)
        return self.one * (M + slope * (x - t * M)) + shift


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


def flow(shape=SHAPE, **options) -> FlowMatching:
    return FlowMatching(shape, 5, Velocity, sgd, **{"sampler": Euler(4), "schedule": "constant"} | options)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


# ------------------------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("times", ["uniform", "logit_normal"])
def test_the_target_is_the_straight_line_from_the_noise_to_the_image(times):
    method, images = flow(times=times), normal(5, *SHAPE, seed=1)
    terms = method.losses(images, None, seeded())
    ((x, asked, labels),) = method.network.asked
    t = (asked / 1000).view(-1, 1, 1, 1)
    noise = (x - t * images) / (1 - t)  # what the line must have begun at
    with torch.no_grad():
        error = Velocity(SHAPE, 0)(x, asked) - (images - noise)
    assert labels is None and list(terms) == ["velocity"]
    assert terms["velocity"].item() == pytest.approx(error.square().mean().item(), rel=1e-5)


@pytest.mark.parametrize("times", ["uniform", "logit_normal"])
def test_times_and_noise_have_their_distributions(times):
    method = flow((1, 1, 1), times=times)
    method.losses(torch.zeros(20_000, 1, 1, 1, dtype=torch.float64), None, seeded())
    ((x, asked, _),) = method.network.asked
    t = asked / 1000
    assert t.min() >= 0 and t.max() <= 1
    found, law = (t, "uniform") if times == "uniform" else (torch.log(t / (1 - t)), "norm")
    assert stats.kstest(found.numpy(), law).pvalue > 0.01
    assert stats.kstest((x.flatten() / (1 - t)).numpy(), "norm").pvalue > 0.01
    assert abs(stats.spearmanr(t, x.flatten() / (1 - t)).statistic) < 0.03  # drawn apart


def test_the_exact_velocity_has_the_least_loss():
    """At which it is the conditional mean: scaled by anything else, the loss is larger."""
    method = flow((1, 1, 1))
    images = M + S * normal(100_000, 1, 1, 1, seed=5)
    losses = []
    for scale in (0.9, 1.0, 1.1):
        method.network.one.data.fill_(scale)
        losses.append(method.losses(images, None, seeded())["velocity"].item())
    assert losses[1] < min(losses[0], losses[2])


class Nothing(nn.Module):
    """An output of zero, which a preconditioned network starts with."""

    def __init__(self, image_shape, num_classes: int) -> None:
        super().__init__()
        self.zero = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, x: Tensor, times: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.zero * x


def test_a_preconditioned_network_of_output_zero_is_right_for_gaussian_images():
    """Their velocity is exact, so that the samples are that Gaussian, also by the steps as numbers, and no gradient is left."""
    method = FlowMatching(SHAPE, 0, Nothing, sgd, sampler=Heun(100), schedule="constant", sigma_data=S)
    noise = normal(50, *SHAPE)
    for t in (0.0, 0.3, 0.9):
        exact = velocity_of_a_gaussian(noise + t * M, t) - M  # of mean 0
        torch.testing.assert_close(method.velocity_in(noise, t, None), exact, rtol=0, atol=1e-12)
    *_, last = method.states(noise, None, None)
    torch.testing.assert_close(last, S * noise, rtol=0, atol=1e-3)
    method.losses(S * normal(100_000, *SHAPE), None, seeded(1))["velocity"].backward()
    assert method.network.zero.grad.abs().item() < 0.01
    method.sampler, x = Euler(3), noise
    for step in method.linear_steps():
        x = step.keep * x + step.add * (step.of_x * x)
    *_, last = method.states(noise, None, None)
    torch.testing.assert_close(x, last)


def test_log_normal_times_have_the_noise_of_edm():
    """ln σ ~ N(-1.2, 1.2²), σ = (1-t)/t."""
    method = flow((1, 1, 1), times="log_normal")
    t = method.draw_times(torch.zeros(20_000, 1, 1, 1, dtype=torch.float64), seeded())
    assert stats.kstest((((1 - t) / t).log().numpy() + 1.2) / 1.2, "norm").pvalue > 0.01


# ------------------------------------------------------------------------------------------------------------- samplers


def error_of(sampler) -> float:
    """The way is x_t = t m + √(t²s² + (1-t)²) ε, which ends at m + s ε."""
    method = flow(sampler=sampler)
    noise = normal(20, *SHAPE)
    *_, last = method.path(noise, None, None)
    return (last - (M + S * noise)).square().mean().sqrt().item()


@pytest.mark.parametrize(("sampler", "ratio"), [(Euler, 2), (Heun, 4)], ids=["euler", "heun"])
def test_twice_the_steps_divide_the_error(sampler, ratio):
    errors = [error_of(sampler(steps)) for steps in (64, 128, 256, 512)]
    for few, many in pairwise(errors):
        assert few / many == pytest.approx(ratio, rel=0.15)


@pytest.mark.parametrize(("sampler", "evaluations"), [(Euler(6), 6), (Heun(6), 12)], ids=["euler", "heun"])
def test_a_step_asks_the_network_once_or_twice_at_times_from_0_to_1(sampler, evaluations):
    method = flow(sampler=sampler)
    assert len(list(method.path(normal(2, *SHAPE), None, None))) == 6
    asked = [times.unique().item() / 1000 for _, times, _ in method.network.asked]
    assert len(asked) == evaluations
    starts = asked if evaluations == 6 else asked[::2]
    assert starts == pytest.approx([k / 6 for k in range(6)])
    if evaluations == 12:
        assert asked[1::2] == pytest.approx([(k + 1) / 6 for k in range(6)])


@pytest.mark.parametrize("steps", [1, 3, 10])
def test_a_straight_way_to_one_image_is_followed_exactly(steps):
    image = torch.rand(2, *SHAPE, generator=seeded(), dtype=torch.float64)
    *_, last = Euler(steps).path(lambda x, t: (image - x) / (1 - t), normal(2, *SHAPE), None)
    torch.testing.assert_close(last, image, rtol=0, atol=1e-12)
    start = normal(2, *SHAPE)
    *_, last = Heun(steps).path(lambda x, t: image - start, start, None)
    torch.testing.assert_close(last, image, rtol=0, atol=1e-12)
    for eta in (0.0, 0.5, 1.0):
        *_, last = FlowDPMSolver(steps, eta=eta).path(lambda x, t: (image - x) / (1 - t), start, seeded())
        torch.testing.assert_close(last, image, rtol=0, atol=1e-12)


def velocity_of_a_gaussian(x: Tensor, t: float) -> Tensor:
    with torch.no_grad():
        return Velocity(SHAPE, 0)(x, torch.full((len(x),), 1000 * t, dtype=torch.float64))


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_noisy_samples_of_a_gaussian_are_that_gaussian(eta):
    *_, last = FlowDPMSolver(200, eta=eta, clip=False).path(velocity_of_a_gaussian, normal(4000, *SHAPE), seeded(1))
    assert last.mean().item() == pytest.approx(M, abs=0.01) and last.std().item() == pytest.approx(S, rel=0.03)


def test_without_fresh_noise_a_single_step_is_eulers_and_many_are_nearer():
    noise = normal(50, *SHAPE)
    paths = [
        list(sampler.path(velocity_of_a_gaussian, noise, None))
        for sampler in (Euler(10), FlowDPMSolver(10, clip=False))
    ]
    torch.testing.assert_close(paths[0][0], paths[1][0])
    exact = 0.8 * M + math.sqrt(0.8**2 * S**2 + 0.2**2) * noise  # at t = 0.8
    errors = [(path[7] - exact).abs().mean().item() for path in paths]
    assert errors[1] < errors[0] / 2


def test_samples_draw_nothing_but_their_noise_and_are_shown_in_0_to_1():
    method, generator = flow(sampler=Heun(200)), seeded(3)
    images = method.sample(500, generator=generator)
    noise = torch.randn(500, *SHAPE, generator=(other := seeded(3)), dtype=torch.float64)
    assert torch.equal(generator.get_state(), other.get_state())
    torch.testing.assert_close(images, ((M + S * noise + 1) / 2).clamp(0, 1).float(), rtol=0, atol=2e-4)


@pytest.mark.parametrize("guidance", [0.0, 1.0, 3.0])
def test_guidance_goes_from_no_label_past_the_label(guidance):
    method = flow(conditional=True, guidance=guidance, sampler=Euler(1))
    x, labels = normal(3, *SHAPE), torch.tensor([0, 4, 2])
    (found,) = method.states(x, labels, None)
    network, zero = Velocity(SHAPE, 5), torch.zeros(3, dtype=torch.float64)
    with torch.no_grad():
        with_label, without = network(x, zero, labels), network(x, zero, torch.full((3,), 5))
    torch.testing.assert_close(found, x + without + guidance * (with_label - without))


def test_the_density_of_gaussian_images_is_theirs_on_0_to_1():
    x = M + S * normal(10, *SHAPE, seed=4)
    exact = torch.distributions.Normal((M + 1) / 2, S / 2).log_prob((x + 1) / 2).sum((1, 2, 3))
    torch.testing.assert_close(flow().log_prob((x + 1) / 2), exact, rtol=0, atol=0.1)  # of 24 values, by 50 steps
    assert flow(conditional=True, label_dropout=0.0).log_prob(x).isnan().all()


def test_the_way_to_noise_is_the_line_back():
    method, images = flow(), torch.rand(2, *SHAPE, generator=seeded(), dtype=torch.float64)
    frames = method.noise_trajectory(images, frames=5, generator=seeded(6))
    noise = torch.randn(2, *SHAPE, generator=seeded(6), dtype=torch.float64)
    for frame, share in zip(frames, (0, 0.25, 0.5, 0.75, 1), strict=True):
        x = (1 - share) * (2 * images - 1) + share * noise
        torch.testing.assert_close(frame, ((x + 1) / 2).clamp(0, 1).float())


def test_options_out_of_range_are_refused():
    for kind in (Euler, Heun, FlowDPMSolver):
        with pytest.raises(ValueError, match=r"model\.sampler\.steps: expected at least 1, got 0"):
            kind(0)
        with pytest.raises(ValueError, match=r"model\.sampler\.shift: expected more than 0, got 0"):
            kind(5, 0)
    with pytest.raises(ValueError, match=r"model\.sampler\.eta: expected 0 to 1, got 2"):
        FlowDPMSolver(5, eta=2)


def test_the_closed_form_is_the_derivative_of_the_exact_way():
    """The test's own truth, by central differences."""
    noise, h = normal(1, *SHAPE), 1e-5

    def at(t: float) -> Tensor:
        return t * M + math.sqrt(t**2 * S**2 + (1 - t) ** 2) * noise

    for t in (0.1, 0.5, 0.9):
        with torch.no_grad():
            velocity = Velocity(SHAPE, 0)(at(t), torch.tensor([1000 * t], dtype=torch.float64))
        torch.testing.assert_close(velocity, (at(t + h) - at(t - h)) / (2 * h), rtol=1e-6, atol=1e-6)


def test_a_shift_shortens_the_steps_near_the_noise():
    assert Euler(4).times() == [0, 0.25, 0.5, 0.75, 1]
    assert Euler(4, shift=3).times() == pytest.approx([0, 1 / 10, 1 / 4, 1 / 2, 1])  # t/(1-t) is a third of what it was
    assert len(list(Heun(4, shift=3).path(lambda x, t: x, normal(1, *SHAPE), None))) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rho": 20.0, "shift": 8.0}, r"model\.sampler\.shift=8\.0 needs model\.sampler\.rho=null"),
        ({"steps": 2, "rho": 20.0}, r"model\.sampler\.steps=2 needs model\.sampler\.rho=null"),
        ({"steps": 1, "shift": 2.0}, r"model\.sampler\.shift=2\.0 needs model\.sampler\.steps above 1"),
    ],
)
def test_an_option_that_the_times_do_not_depend_on_is_refused(options, message):
    sampler = Heun(**{"steps": 4} | options)  # an earlier run with such options opens
    with pytest.raises(ValueError, match=message):
        sampler.check_options()
