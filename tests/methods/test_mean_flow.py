"""Mean flow on Gaussian data, where the average velocity is known: its identity, its loss, its single step."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from helpers.diffusion import SHAPE, normal, seeded
from torch import Tensor, nn

from genrun.maths.samplers import Euler, Heun
from genrun.methods.mean_flow import TIMES_TOLD, MeanFlow
from genrun.nn.gated_unet import GatedUNet
from genrun.types import Batch

M, S = 0.2, 0.25  # images of N(m, s²)
CLASSES = 5


def deviation(t: Tensor) -> Tensor:
    """Of x_t = (1-t) ε + t x_1."""
    return (t**2 * S**2 + (1 - t) ** 2).sqrt()


class Average(nn.Module):
    """(x_r - x_t)/(r - t) on the way x_t = t m + σ_t z, and dx_t/dt where r = t; it remembers what it was asked."""

    def __init__(self, image_shape, num_classes: int, times: int = 1) -> None:
        super().__init__()
        assert times == 2
        self.one = nn.Parameter(torch.ones((), dtype=torch.float64))
        self.asked: list[tuple[Tensor, Tensor, Tensor | None]] = []

    def forward(self, x: Tensor, times: Tensor, labels: Tensor | None = None) -> Tensor:
        self.asked.append((x, times, labels))
        t, span = (times / TIMES_TOLD).view(-1, 2, 1, 1, 1).unbind(1)
        z = (x - t * M) / deviation(t)
        still = span == 0
        apart = torch.where(still, 1.0, span)
        average = M + (deviation(t + apart) - deviation(t)) / apart * z
        velocity = M + (t * S**2 - (1 - t)) / deviation(t) * z
        shift = 0 if labels is None else (labels + 1.0).square().view(-1, 1, 1, 1)
        return self.one * torch.where(still, velocity, average) + shift


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


def mean_flow(shape=SHAPE, **options) -> MeanFlow:
    return MeanFlow(shape, CLASSES, Average, sgd, **{"schedule": "constant", "sampler": Euler(1)} | options)


def test_the_average_velocity_obeys_the_identity():
    """u = v + (r - t) du/dt along v, by the exact u."""
    method, x = mean_flow(), normal(6, *SHAPE)
    t = torch.tensor([0.0, 0.1, 0.3, 0.5, 0.9, 0.0], dtype=torch.float64)
    r = torch.tensor([1.0, 0.4, 0.9, 0.6, 1.0, 0.01], dtype=torch.float64)
    velocity, average = method.average(x, t, t, None), method.average(x, t, r, None)
    for tangent in ("predicted", "drawn"):
        method.tangent = tangent
        change = method.derivative(x, t, r, velocity, None)
        torch.testing.assert_close(average, velocity + (r - t).view(-1, 1, 1, 1) * change, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("ends", "steps", "shift"), [("image", 1, 1.0), ("any", 1, 1.0), ("any", 2, 1.0), ("any", 5, 3.0)]
)
def test_any_number_of_steps_ends_where_the_flow_does(ends, steps, shift):
    method = mean_flow(ends=ends, sampler=Euler(steps, shift))
    noise = normal(5, *SHAPE)
    states = list(method.states(noise, None, None))
    assert len(states) == steps == len(method.linear_steps())
    torch.testing.assert_close(states[-1], M + S * noise, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("steps", "shift"), [(2, 1.0), (4, 1.0), (5, 3.0)])
def test_steps_by_averages_up_to_the_image_keep_the_distribution(steps, shift):
    """The state at each time r is distributed as (1-r) ε + r x_1 in training; the network is asked for averages up to 1 only."""
    method, noise = mean_flow(sampler=Euler(steps, shift)), normal(20_000, *SHAPE, seed=7)
    states = list(method.states(noise, None, seeded(8)))
    times = torch.tensor(method.sampler.times()[1:], dtype=torch.float64)
    assert len(states) == steps == len(method.network.asked)
    for state, r in zip(states, times, strict=True):
        assert state.mean().item() == pytest.approx(r.item() * M, abs=0.005)
        assert state.std().item() == pytest.approx(deviation(r).item(), rel=0.005)
    for _, asked, _ in method.network.asked:
        torch.testing.assert_close((asked / TIMES_TOLD).sum(1), torch.ones(20_000, dtype=torch.float64))


def test_the_loss_is_the_squared_error_to_the_target_of_the_drawn_line():
    """Of few images, by finite differences; the images with r = t have the loss of flow matching."""
    method, images = mean_flow(intervals=0.5, tangent="drawn"), normal(16, *SHAPE, seed=1)
    errors = method.errors(images, None, seeded(3))
    x, times, _ = method.network.asked[-1]
    t, span = (times / TIMES_TOLD).unbind(1)
    wide = t.view(-1, 1, 1, 1)
    velocity = images - (x - wide * images) / (1 - wide)
    h = 1e-6
    with torch.no_grad():
        after, before = (method.average(x + d * velocity, t + d, t + span, None) for d in (h, -h))
        target = velocity + span.view(-1, 1, 1, 1) * torch.where(
            span.view(-1, 1, 1, 1) > 0, (after - before) / (2 * h), 0
        )
        expected = (method.average(x, t, t + span, None) - target).square().sum((1, 2, 3))
    assert 0 < (span > 0).sum() < 16 and (t + span <= 1).all()
    torch.testing.assert_close(errors.detach().double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("ends", "tangent", "power"), [("any", "drawn", 0.0), ("image", "predicted", 1.0)])
def test_the_gradient_of_the_exact_average_velocity_is_zero(ends, tangent, power):
    """The exact u scaled by 0.9 is drawn up, by 1.1 down, itself not at all, whatever the weight."""
    method = mean_flow((1, 2, 2), intervals=0.5, ends=ends, tangent=tangent, power=power)
    images = (M + S * normal(40_000, 1, 2, 2, seed=5) + 1) / 2
    slopes = []
    for scale in (0.9, 1.0, 1.1):
        torch.manual_seed(0)
        method.network.one.data.fill_(scale)
        method.network.one.grad = None
        method.training_step(Batch(images, None, None), 0).backward()
        slopes.append(method.network.one.grad.item())
    assert slopes[0] < -abs(slopes[1]) * 4 and slopes[2] > abs(slopes[1]) * 4


def test_intervals_end_at_the_image_or_anywhere():
    images = torch.zeros(4000, 1, 1, 1, dtype=torch.float64)
    t, r, apart = mean_flow(intervals=0.3).draw_intervals(images, seeded())
    assert (r[apart] == 1).all() and (t < r).sum() == len(apart) == pytest.approx(1200, abs=100)
    assert t.mean().item() == pytest.approx(1 / 2, abs=0.02)
    t, r, apart = mean_flow(intervals=1.0, ends="any").draw_intervals(images, seeded())
    assert len(apart) == 4000 and (t < r).all()
    assert t.mean().item() == pytest.approx(1 / 3, abs=0.02) and r.mean().item() == pytest.approx(2 / 3, abs=0.02)


def test_the_weight_divides_an_error_by_itself():
    method, batch = mean_flow(power=1.0), Batch(torch.rand(30, *SHAPE, dtype=torch.float64), None, None)
    assert method.training_step(batch, 0).item() == pytest.approx(1, abs=1e-3)
    assert 0.05 < method.running_means()["average_velocity"] < 5


def test_guidance_is_learnt_where_there_is_a_label():
    """ω v + (1 - ω) u(x, t, t, ∅) is the velocity to learn, and samples ask for their label alone."""
    method = mean_flow(conditional=True, guidance=3.0)
    x, t, drawn = normal(2, *SHAPE), torch.tensor([0.2, 0.6], dtype=torch.float64), normal(2, *SHAPE, seed=1)
    found = method.velocity(drawn, x, t, torch.tensor([1, CLASSES]))
    with torch.no_grad():
        none = method.average(x, t, t, torch.full((2,), CLASSES))
    torch.testing.assert_close(found[0], 3 * drawn[0] - 2 * none[0])
    torch.testing.assert_close(found[1], drawn[1])
    labels, noise = torch.tensor([0, 4]), normal(2, *SHAPE)
    (last,) = method.states(noise, labels, None)
    torch.testing.assert_close(last, M + S * noise + (labels + 1.0).square().view(-1, 1, 1, 1))


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"model/sampler: mean flow only knows the steps of euler, got Heun"):
        mean_flow(sampler=Heun(1))
    with pytest.raises(ValueError, match=r"model\.intervals: expected 0 to 1, got 1\.5"):
        mean_flow(intervals=1.5)
    with pytest.raises(ValueError, match=r"model\.intervals: expected more than 0, got 0"):
        mean_flow(intervals=0.0).check_options()
    with pytest.raises(ValueError, match=r"model\.intervals=1 needs model\.tangent=drawn and model\.guidance=1"):
        mean_flow(intervals=1.0).check_options()
    with pytest.raises(ValueError, match=r"model\.power: expected a number of at least 0, got -1"):
        mean_flow(power=-1)
    with pytest.raises(ValueError, match=r"model\.sigma_data is not for mean flow; leave it out"):
        mean_flow(sigma_data=0.5)
    with pytest.raises(ValueError, match=r"model/network: .* without batch norm, such as unet, .* got GatedUNet"):
        MeanFlow((1, 8, 8), CLASSES, partial(GatedUNet, width=4, time_size=8), sgd, sampler=Euler(1))
