"""What a method says of test images, against closed forms."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from genrun.data.images import Stored
from genrun.evaluation.rows.held_out import errors, likelihood_rows, reconstruction_rows


def data_of(pixels: Tensor) -> SimpleNamespace:
    return SimpleNamespace(test=Stored(array=pixels, labels=torch.full((len(pixels),), -1)))


class Uniform:
    """Density 1 everywhere on [0, 1]^D."""

    image_shape, device, num_classes, binary = (1, 8, 8), torch.device("cpu"), 0, False
    likelihoods_at_most = None

    def log_prob(self, images: Tensor) -> Tensor:
        return torch.zeros(len(images))


class Darker(Uniform):
    """p(x) = 2 (1 - x) for each value."""

    def log_prob(self, images: Tensor) -> Tensor:
        return (2 * (1 - images)).log().sum((1, 2, 3))


class Bound:
    """A bound one nat below the density of `Uniform`."""

    image_shape, device, binary, likelihoods_at_most = (1, 8, 8), torch.device("cpu"), False, None

    def elbo(self, images: Tensor, *, samples: int = 1, generator: torch.Generator | None = None) -> Tensor:
        return torch.full((len(images),), -1.0)


class Coins(Bound):
    """Fair coins for pixels, and a bound whose gap falls with the samples."""

    binary = True

    def log_prob(self, images: Tensor) -> Tensor:
        assert ((images == 0) | (images == 1)).all()
        return torch.full((len(images),), -64 * math.log(2))

    def elbo(self, images: Tensor, *, samples: int = 1, generator: torch.Generator | None = None) -> Tensor:
        return self.log_prob(images) - 1 / samples


def test_a_method_may_limit_the_images_of_its_likelihood():
    method, data = Bound(), data_of(torch.randint(0, 256, (50, 1, 8, 8), dtype=torch.uint8))
    method.likelihoods_at_most = 20
    assert [likelihood_rows(method, data, most, 30, 0)[0].count for most in (40, 10)] == [20, 10]


def test_a_uniform_density_needs_eight_bits_for_each_value():
    data = data_of(torch.randint(0, 256, (50, 1, 8, 8), dtype=torch.uint8))
    (row,) = likelihood_rows(Uniform(), data, most=40, chunk=15, seed=0)
    assert row.name == "bits per dimension" and row.value == pytest.approx(8) and row.count == 40


def test_bits_per_dimension_of_a_known_density_bound_those_of_its_discrete_model():
    data = data_of(torch.full((400, 1, 8, 8), 100, dtype=torch.uint8))
    (row,) = likelihood_rows(Darker(), data, most=400, chunk=100, seed=0)
    low, high = 100 / 256, 101 / 256
    exact = -math.log2((2 * high - high**2) - (2 * low - low**2))  # of the bin, by the integral of the density
    assert exact <= row.value + 1e-4 and row.value == pytest.approx(exact, abs=1e-3)


def test_a_lower_bound_is_named_as_one():
    data = data_of(torch.zeros(10, 1, 8, 8, dtype=torch.uint8))
    (row,) = likelihood_rows(Bound(), data, most=10, chunk=10, seed=0)
    assert row.name == "bits per dimension, upper bound"
    assert row.value == pytest.approx(8 + 1 / 64 / math.log(2))


def test_masses_of_binary_images_are_in_nats_of_one_fixed_draw():
    data = data_of(torch.randint(0, 256, (50, 1, 8, 8), dtype=torch.uint8))
    exact, bound, tighter = likelihood_rows(Coins(), data, most=40, chunk=15, seed=0, importance=10)
    assert (
        exact.name == "log-likelihood, nats" and exact.value == pytest.approx(-64 * math.log(2)) and exact.count == 40
    )
    assert bound.name == "log-likelihood, lower bound, nats" and bound.value == pytest.approx(exact.value - 1)
    assert tighter.name == "log-likelihood, bound by 10 samples, nats"
    assert tighter.value == pytest.approx(exact.value - 0.1)

    class Brightness(Coins):
        def log_prob(self, images: Tensor) -> Tensor:
            return images.sum((1, 2, 3))

    values = [
        likelihood_rows(Brightness(), data, most=50, chunk=chunk, seed=seed)[0].value
        for chunk, seed in [(50, 0), (7, 1)]
    ]
    assert values[0] == values[1]  # neither chunks nor a run's seed change the draw
    assert values[0] == pytest.approx(data.test.array.double().mean().item() * 64 / 255, rel=0.05)


def test_errors_of_each_image_and_their_mean():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(6, 1, 28, 28, generator=generator)
    rebuilt = (images + 0.1).clamp(0, 1)
    squared, absolute, similarity = errors(rebuilt, images)
    torch.testing.assert_close(squared, ((rebuilt - images) ** 2).flatten(1).mean(1))
    torch.testing.assert_close(absolute, (rebuilt - images).abs().flatten(1).mean(1))
    assert squared.shape == absolute.shape == similarity.shape == (6,)
    torch.testing.assert_close(errors(images, images)[2], torch.ones(6))


def test_structural_similarity_is_the_published_formula():
    """Wang et al. 2004: an 11×11 Gaussian window of 1.5 pixels, K = (0.01, 0.03), by convolutions of the mirrored images."""
    generator = torch.Generator().manual_seed(1)
    x, y = torch.rand(2, 3, 1, 28, 28, generator=generator, dtype=torch.float64)
    given, (x, y) = (x, y), (F.pad(image, [5] * 4, mode="reflect") for image in (x, y))
    window = torch.exp(-((torch.arange(11.0, dtype=torch.float64) - 5) ** 2) / 2 / 1.5**2)
    window = (window[:, None] * window / window.sum() ** 2)[None, None]
    mean_x, mean_y = F.conv2d(x, window), F.conv2d(y, window)
    var_x, var_y = F.conv2d(x * x, window) - mean_x**2, F.conv2d(y * y, window) - mean_y**2
    both = F.conv2d(x * y, window) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    ssim = (2 * mean_x * mean_y + c1) * (2 * both + c2) / (mean_x**2 + mean_y**2 + c1) / (var_x + var_y + c2)
    torch.testing.assert_close(errors(*given)[2], ssim.mean((1, 2, 3)), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 12), (3, 64, 64)])
def test_structural_similarity_of_small_and_colour_images(shape):
    images = torch.rand(4, *shape, generator=torch.Generator().manual_seed(0))
    other = torch.rand(4, *shape, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(errors(images, images)[2], torch.ones(4))
    assert (errors(images, other)[2] < 0.5).all()


def test_test_images_are_a_fixed_random_choice_not_the_first_ones():
    pixels = torch.arange(100, dtype=torch.uint8).repeat_interleave(64).view(100, 1, 8, 8)  # sorted by brightness

    class Black(Uniform):
        def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
            return torch.zeros_like(images)

    rows = reconstruction_rows(Black(), data_of(pixels), most=50, chunk=20)
    assert rows[1].value * 255 == pytest.approx(49.5, abs=8)  # the first fifty would give 24.5


def test_only_a_method_that_reconstructs_has_these_rows():
    data = data_of(torch.zeros(10, 1, 8, 8, dtype=torch.uint8))
    assert reconstruction_rows(Uniform(), data, most=10, chunk=5) == []
    assert likelihood_rows(Uniform(), data, most=0, chunk=5, seed=0) == []

    class Identity(Uniform):
        def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
            return images

    rows = reconstruction_rows(Identity(), data, most=7, chunk=5)
    assert [(row.value, row.count) for row in rows] == [(0, 7), (0, 7), (1, 7)]
