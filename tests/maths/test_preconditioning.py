"""EDM's preconditioning: its table by hand, and the best linear guess for Gaussian images."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.diffusion import normal

from genrun.maths.preconditioning import NOISE_TOLD, Preconditioning

SIGMA_DATA = 0.4
LEVELS = [(1.0, 0.7), (0.6, 0.8), (0.999, 0.01), (0.05, 0.95)]


@pytest.mark.parametrize(("a", "b"), LEVELS)
def test_it_is_table_1_of_edm(a, b):
    """In EDM's own terms: x/a has noise of σ = b/a."""
    preconditioning, sigma = Preconditioning(SIGMA_DATA), b / a
    images, noise = normal(3, 1, 4, 4), normal(3, 1, 4, 4, seed=1)
    x, level = a * images + b * noise, torch.full((3, 1, 1, 1), 1.0, dtype=torch.float64)
    total = sigma**2 + SIGMA_DATA**2
    c_skip, c_out, c_in = SIGMA_DATA**2 / total, sigma * SIGMA_DATA / math.sqrt(total), 1 / math.sqrt(total)
    seen, told = preconditioning.inputs(x, a * level, b * level)
    torch.testing.assert_close(seen, c_in * x / a)
    torch.testing.assert_close(told, torch.full((3,), NOISE_TOLD * math.log(sigma) / 4, dtype=torch.float64))
    target = preconditioning.target(images, noise, a * level, b * level)
    torch.testing.assert_close(target, (images - c_skip * x / a) / c_out)
    of_x, of_output = preconditioning.of_image(a, b)
    torch.testing.assert_close(of_x * x + of_output * target, images)
    of_x, of_output = preconditioning.of_noise(a, b)
    torch.testing.assert_close(of_x * x + of_output * target, noise)


@pytest.mark.parametrize(("a", "b"), LEVELS)
def test_of_gaussian_images_an_output_of_zero_is_the_best_linear_guess_and_all_scales_are_1(a, b):
    preconditioning = Preconditioning(SIGMA_DATA)
    images, noise = SIGMA_DATA * normal(100_000, 1, 1, 1), normal(100_000, 1, 1, 1, seed=1)
    x = a * images + b * noise
    of_x, _ = preconditioning.of_image(a, b)
    assert of_x == pytest.approx(((x * images).mean() / x.square().mean()).item(), abs=0.02)  # least squares
    level = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    assert preconditioning.inputs(x, a * level, b * level)[0].std().item() == pytest.approx(1, abs=0.01)
    target = preconditioning.target(images, noise, a * level, b * level)
    assert target.std().item() == pytest.approx(1, abs=0.01)
    assert (target * x).mean().item() == pytest.approx(0, abs=0.02)  # nothing linear is left to learn


def test_pure_noise_and_pure_images_have_finite_scales():
    preconditioning, x = Preconditioning(0.5), normal(2, 1, 2, 2)
    a = torch.tensor([0.0, 1.0], dtype=torch.float64).view(-1, 1, 1, 1)
    assert all(each.isfinite().all() for each in preconditioning.inputs(x, a, 1 - a))
    assert preconditioning.target(x, x, a, 1 - a).isfinite().all()
    with pytest.raises(ValueError, match=r"model\.sigma_data: expected more than 0, or null, got 0"):
        Preconditioning(0)
