"""Denoising diffusion: the document's losses by hand, guidance, and what a method of noise promises."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from helpers.diffusion import SHAPE, bars, normal, seeded
from torch import Tensor, nn

from genrun.maths.samplers import DDIM, Ancestral, DPMSolver
from genrun.maths.schedules import Linear
from genrun.methods.ddpm import DDPM
from genrun.types import Batch

CLASSES = 5


class Known(nn.Module):
    """A network that is a formula, and remembers what it was asked."""

    def __init__(self, image_shape, num_classes: int) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))
        self.asked: list[tuple[Tensor, Tensor, Tensor | None]] = []

    def forward(self, x: Tensor, times: Tensor, labels: Tensor | None = None) -> Tensor:
        self.asked.append((x, times, labels))
        shift = 0 if labels is None else (labels + 1.0).square().view(-1, 1, 1, 1)
        return self.slope * x.sin() + 0.01 * times.view(-1, 1, 1, 1) + shift


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


def ddpm(shape=SHAPE, **options) -> DDPM:
    options = {
        "beta_schedule": Linear(7, 0.01, 0.4),
        "sampler": Ancestral(clip=False),
        "schedule": "constant",
        "target": "noise",
    } | options
    return DDPM(shape, CLASSES, Known, sgd, **options)


# --------------------------------------------------------------------------------------------------------------- losses


def test_noised_images_have_the_moments_of_17():
    method = ddpm()
    expected = bars(method_schedule := Linear(7, 0.01, 0.4))
    np.testing.assert_allclose(method.alpha_bars, expected, rtol=1e-13)
    image = normal(1, *SHAPE).expand(50_000, -1, -1, -1)
    for t in (1, 4, method_schedule.steps):
        x = method.noised(image, torch.full((50_000,), t), normal(50_000, *SHAPE, seed=t))
        torch.testing.assert_close(x.mean(0), math.sqrt(expected[t]) * image[0], rtol=0, atol=0.02)
        assert x.var(0).numpy() == pytest.approx(np.full(SHAPE, 1 - expected[t]), abs=0.03)
    each = method.noised(image[:8], torch.arange(8), torch.zeros(8, *SHAPE, dtype=torch.float64))
    torch.testing.assert_close(each, torch.from_numpy(np.sqrt(expected)).view(8, 1, 1, 1) * image[:8])


def test_the_losses_are_34_and_35_summed_by_hand():
    method = ddpm(gradient_weight=0.25)
    n, (c, h, w) = 3, SHAPE
    images = normal(n, *SHAPE, seed=1)
    terms = method.losses(images, None, seeded())
    ((x, times, labels),) = method.network.asked
    assert labels is None
    with torch.no_grad():
        predicted = method.network(x, times).numpy()
    bar = bars(Linear(7, 0.01, 0.4))[times.long().numpy()].reshape(-1, 1, 1, 1)
    noise = (x.numpy() - np.sqrt(bar) * images.numpy()) / np.sqrt(1 - bar)  # what (17) must have added
    squares = across = down = 0.0
    for i in range(n):
        for channel in range(c):
            error = predicted[i, channel] - noise[i, channel]
            squares += sum(error[y, z] ** 2 for y in range(h) for z in range(w))
            across += sum((error[y, z + 1] - error[y, z]) ** 2 for y in range(h) for z in range(w - 1))
            down += sum((error[y + 1, z] - error[y, z]) ** 2 for y in range(h - 1) for z in range(w))
    assert terms["noise"].item() == pytest.approx(squares / (n * c * h * w), rel=1e-5)
    expected = across / (n * c * h * (w - 1)) + down / (n * c * (h - 1) * w)
    assert terms["gradient"].item() == pytest.approx(0.25 * expected, rel=1e-5)
    assert set(ddpm().losses(images, None)) == {"noise"}


def test_times_are_uniform_from_1_to_t_and_the_added_noise_is_standard():
    method = ddpm((1, 1, 1))
    method.losses(torch.zeros(35_000, 1, 1, 1, dtype=torch.float64), None, seeded())
    ((x, times, _),) = method.network.asked
    found, counts = times.unique(return_counts=True)
    assert found.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert (counts.double() / 5000 - 1).abs().max() < 0.06
    scaled = x.flatten() / (1 - torch.from_numpy(bars(Linear(7, 0.01, 0.4)))[times.long()]).sqrt()
    assert scaled.mean().item() == pytest.approx(0, abs=0.02) and scaled.std().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("dropout", "low", "high"), [(0.0, 0, 0), (0.3, 0.27, 0.33), (1.0, 1, 1)])
def test_a_label_left_out_is_the_label_num_classes(dropout, low, high):
    method = ddpm(conditional=True, label_dropout=dropout)
    labels = torch.arange(5000) % CLASSES
    torch.manual_seed(0)
    method.training_step(Batch(torch.rand(5000, *SHAPE, dtype=torch.float64), labels, torch.arange(5000)), 0)
    ((_, _, seen),) = method.network.asked
    left_out = seen == CLASSES
    assert low <= left_out.double().mean() <= high
    assert torch.equal(seen[~left_out], labels[~left_out])


@pytest.mark.parametrize("guidance", [0.0, 1.0, 2.5])
def test_guidance_goes_from_no_label_past_the_label(guidance):
    method = ddpm(conditional=True, guidance=guidance)
    x, labels = normal(4, *SHAPE), torch.tensor([0, 4, 2, 2])
    none, times = torch.full((4,), CLASSES), torch.full((4,), 3.0, dtype=torch.float64)
    with torch.no_grad():
        with_label, without = method.network(x, times, labels), method.network(x, times, none)
        found = method.predict(x, 3, labels)
    torch.testing.assert_close(found, without + guidance * (with_label - without))


# ----------------------------------------------------------------------------------------------------------- likelihood

M, S = 0.2, 0.25  # images of N(m, s²) on [-1, 1]


class Exact(Known):
    """The best ε̂ for these images: b/V (x - a m), V = a² s² + b²."""

    def __init__(self, image_shape, num_classes: int, schedule: Linear) -> None:
        super().__init__(image_shape, num_classes)
        self.bars = torch.from_numpy(bars(schedule))

    def forward(self, x: Tensor, times: Tensor, labels: Tensor | None = None) -> Tensor:
        bar = self.bars[times.long()].view(-1, 1, 1, 1)
        return (1 - bar).sqrt() / (bar * S**2 + 1 - bar) * (x - bar.sqrt() * M)


def log_normal(x: Tensor, mean: float, variance: float) -> Tensor:
    return torch.distributions.Normal(mean, math.sqrt(variance)).log_prob(x).flatten(1).sum(1)


@pytest.mark.parametrize("steps", [2, 5, 60])
def test_the_bound_of_gaussian_images_is_what_5_of_ho_et_al_gives(steps):
    """Term by term from its expectation; below the density of what the ancestral sampler draws, which is a Gaussian."""
    schedule = Linear(steps, 1e-3, min(0.9, 12 / steps))
    network, drawn = partial(Exact, schedule=schedule), normal(2000, *SHAPE)
    x = M + S * (drawn - drawn.mean()) / drawn.std()  # of these moments exactly
    method = DDPM(SHAPE, 0, network, sgd, beta_schedule=schedule, sampler=Ancestral(), target="noise")
    found = method.elbo((x + 1) / 2, generator=seeded(1)).mean().item() - x[0].numel() * math.log(2)
    bar = bars(schedule)
    a, b, beta = np.sqrt(bar), np.sqrt(1 - bar), 1 - bar[1:] / bar[:-1]  # beta[t - 1] is β_t
    v = bar * S**2 + b**2
    error = S**2 * b**2 / v  # E (x_0 - x̂_0)²
    expected = 0.5 * (bar[-1] * (M**2 + S**2) - bar[-1] - math.log(1 - bar[-1]))
    mean, variance = 0.0, 1.0  # of x_T, x_{T-1}, … as drawn
    for t in range(steps, 0, -1):
        before = bar[t - 1]
        of_image = np.sqrt(before) * beta[t - 1] / (1 - bar[t])
        of_x = np.sqrt(1 - beta[t - 1]) * (1 - before) / (1 - bar[t])
        fresh = (1 - before) / (1 - bar[t]) * beta[t - 1] if t > 1 else b[1] ** 2 / bar[1]
        if t > 1:  # KL of two Gaussians of the variance `fresh`, whose means differ by of_image (x_0 - x̂_0)
            expected += of_image**2 * error[t] / (2 * fresh)
        else:
            expected += 0.5 * math.log(2 * math.pi * fresh) + error[1] / (2 * fresh)
        slope = a[t] * S**2 / v[t]  # x̂_0 = m + slope (x - a m)
        mean = of_x * mean + of_image * (M + slope * (mean - a[t] * M))
        variance = (of_x + of_image * slope) ** 2 * variance + fresh
    size = x[0].numel()
    assert found / size == pytest.approx(-expected, rel=0.005, abs=0.005)
    assert -expected < log_normal(x, mean, variance).mean().item() / size + 0.005


def test_the_bound_of_a_conditional_model_is_that_without_labels_which_it_must_have_seen():
    images = torch.rand(3, *SHAPE, dtype=torch.float64)
    assert ddpm(conditional=True).elbo(images, generator=seeded()).isfinite().all()
    assert ddpm(conditional=True, label_dropout=0.0).elbo(images).isnan().all()


# -------------------------------------------------------------------------------------------------------- of the method


def test_samples_are_the_last_state_shown_in_0_to_1():
    method = ddpm()
    images = method.sample(3, generator=seeded(2))
    generator = seeded(2)
    x = torch.randn(3, *SHAPE, generator=generator, dtype=torch.float64)
    *_, last = Ancestral(clip=False).path(
        lambda x, t: 0.3 * x.sin() + 0.01 * t, x, torch.from_numpy(bars(Linear(7, 0.01, 0.4))), generator
    )
    torch.testing.assert_close(images, ((last + 1) / 2).clamp(0, 1).float())


def test_the_way_to_noise_begins_at_the_images_and_ends_at_x_t():
    method, images = ddpm(), torch.rand(2, *SHAPE, generator=seeded(), dtype=torch.float64)
    frames = method.noise_trajectory(images, frames=8, generator=seeded(6))
    noise = torch.randn(2, *SHAPE, generator=seeded(6), dtype=torch.float64)
    for t, bar in enumerate(bars(Linear(7, 0.01, 0.4))):
        x = math.sqrt(bar) * (2 * images - 1) + math.sqrt(1 - bar) * noise
        torch.testing.assert_close(frames[t], ((x + 1) / 2).clamp(0, 1).float())


def test_a_plateau_halves_the_rate_and_its_patience_survives_a_checkpoint(monkeypatch):
    monkeypatch.setattr(DDPM, "log_dict", lambda *_: None)

    def begun(method: DDPM) -> torch.optim.Optimizer:
        optimizer = method.configure_optimizers()
        method.on_train_start()
        return optimizer

    def epoch(method: DDPM, optimizer, *losses: float) -> float:
        for loss in losses:
            method.track(noise=torch.tensor(loss), gradient=torch.tensor(0.25))
        method.on_train_epoch_end()
        return optimizer.param_groups[0]["lr"]

    method = ddpm(halve_after=2)
    optimizer = begun(method)
    rates = [epoch(method, optimizer, *losses) for losses in ((3.0, 1.0), (1.0, 2.0), (1.5, 1.5), (1.0, 3.0))]
    assert rates == [0.1] * 4  # means 2, 1.5, 1.5, 2: two epochs have not fallen
    checkpoint = {}
    method.on_save_checkpoint(checkpoint)
    weights = optimizer.state_dict()

    resumed = ddpm(halve_after=2)
    resumed.on_load_checkpoint(checkpoint)
    again = begun(resumed)
    again.load_state_dict(weights)
    assert epoch(resumed, again, 1.5) == epoch(method, optimizer, 1.5) == 0.05  # the third
    assert epoch(resumed, again, 1.0) == 0.05


def test_options_out_of_range_are_refused():
    for kind in (DDIM, DPMSolver):
        with pytest.raises(ValueError, match=r"model\.sampler\.steps: expected at least 1, got 0"):
            kind(0)
    for eta in (-0.1, 1.1):
        for kind in (DDIM, DPMSolver):
            with pytest.raises(ValueError, match=rf"model\.sampler\.eta: expected 0 to 1, got {eta}"):
                kind(5, eta)
    with pytest.raises(ValueError, match=r"model\.gradient_weight: expected a number of at least 0, got -1"):
        ddpm(gradient_weight=-1)
    with pytest.raises(ValueError, match=r"model\.label_dropout: expected 0 to 1, got 2"):
        ddpm(label_dropout=2)
    with pytest.raises(ValueError, match=r"model\.halve_after=5 needs model\.schedule=constant, got cosine"):
        ddpm(halve_after=5, schedule="cosine")
    with pytest.raises(ValueError, match=r"model\.sigma_data needs model\.target=velocity, got noise"):
        ddpm(sigma_data=0.5)


def test_the_velocity_is_the_noise_and_the_image_turned_by_an_angle():
    """v = cos φ ε - sin φ x_0 of x_t = cos φ x_0 + sin φ ε, so ε = cos φ v + sin φ x_t, and the loss is v's own."""
    method = ddpm(target="velocity")
    x, noise, t = normal(5, *SHAPE), normal(5, *SHAPE, seed=1), torch.tensor([1, 2, 4, 6, 7])
    angle = torch.from_numpy(np.arcsin(np.sqrt(1 - bars(Linear(7, 0.01, 0.4))[t.numpy()]))).view(-1, 1, 1, 1)
    velocity = angle.cos() * noise - angle.sin() * x
    noised = method.noised(x, t, noise)
    torch.testing.assert_close(noised, angle.cos() * x + angle.sin() * noise)
    for k in range(5):
        method.predict = lambda x, time, labels, k=k: velocity[k : k + 1]
        torch.testing.assert_close(method.noise_in(noised[k : k + 1], int(t[k]), None), noise[k : k + 1])
    generator = seeded(3)
    drawn = (7 * torch.rand(5, generator=generator, dtype=torch.float64)).floor().long() + 1
    noise = torch.randn(5, *SHAPE, generator=generator, dtype=torch.float64)
    angle = torch.from_numpy(np.arcsin(np.sqrt(1 - bars(Linear(7, 0.01, 0.4))[drawn.numpy()]))).view(-1, 1, 1, 1)
    with torch.no_grad():
        answer = method.network(angle.cos() * x + angle.sin() * noise, drawn.double())
    expected = (answer - (angle.cos() * noise - angle.sin() * x)).square().mean().item()
    assert method.losses(x, None, seeded(3))["velocity"].item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("sigma_data", [1.0, 0.3])
def test_the_preconditioned_output_leads_to_the_noise(sigma_data):
    """F = (x_0 - c_skip x)/c_out of EDM's x = x_t/√ᾱ_t; at σ_data = 1 it is the negative velocity."""
    method = ddpm(target="velocity", sigma_data=sigma_data)
    x, noise, t = normal(5, *SHAPE), normal(5, *SHAPE, seed=1), torch.tensor([1, 2, 4, 6, 7])
    bar = torch.from_numpy(bars(Linear(7, 0.01, 0.4))[t.numpy()]).view(-1, 1, 1, 1)
    noised, sigma = method.noised(x, t, noise), ((1 - bar) / bar).sqrt()
    total = sigma**2 + sigma_data**2
    output = (x - sigma_data**2 / total * noised / bar.sqrt()) / (sigma * sigma_data / total.sqrt())
    if sigma_data == 1:
        torch.testing.assert_close(output, (1 - bar).sqrt() * x - bar.sqrt() * noise)
    answers = []
    for k in range(5):
        method.predict = lambda x, time, labels, k=k: output[k : k + 1]
        answers.append(method.noise_in(noised[k : k + 1], int(t[k]), None))
    torch.testing.assert_close(torch.cat(answers), noise)
    del method.predict
    method.predict(noised[:1], 4, None)
    ((seen, told, _),) = method.network.asked
    bar = bars(Linear(7, 0.01, 0.4))[4]
    torch.testing.assert_close(seen, noised[:1] / math.sqrt(bar * sigma_data**2 + 1 - bar))
    assert told.item() == pytest.approx(100 * math.log(math.sqrt((1 - bar) / bar)) / 4)


def test_log_normal_times_are_those_next_to_the_noise_of_edm():
    method = ddpm(times="log_normal", beta_schedule=Linear(200, 1e-4, 0.05))
    method.losses(normal(20_000, 1, 1, 1), None, seeded(5))
    _, asked, _ = method.network.asked[-1]
    found = torch.bincount(asked.long(), minlength=201)[1:].cumsum(0) / len(asked)
    bar = torch.from_numpy(bars(Linear(200, 1e-4, 0.05)))[1:]
    below = torch.special.ndtr((((1 - bar) / bar).sqrt().log() + 1.2) / 1.2)
    below[-1] = 1
    torch.testing.assert_close(found.double(), below, rtol=0, atol=0.012)


@pytest.mark.parametrize("times", ["uniform", "logit_normal"])
def test_training_draws_times_from_1_to_t_as_often_as_it_says(times):
    method = ddpm(times=times)
    method.losses(normal(20_000, *SHAPE), None, seeded(5))
    _, asked, _ = method.network.asked[-1]
    found = torch.bincount(asked.long(), minlength=8)[1:] / len(asked)
    edges = torch.arange(8) / 7
    below = edges if times == "uniform" else torch.special.ndtr(edges.logit())
    torch.testing.assert_close(found, below.diff().float(), rtol=0, atol=0.012)


def test_guidance_without_a_label_or_an_untrained_one_is_refused():
    for options in ({"guidance": 2.0}, {"guidance": 2.0, "conditional": True, "label_dropout": 0.0}):
        with pytest.raises(
            ValueError, match=r"model\.guidance=2\.0 needs model\.conditional=true and model\.label_dropout"
        ):
            ddpm(**options)
