"""Structural similarity against torchmetrics and scikit-image, and by hand."""

from __future__ import annotations

import pytest
import torch
from skimage.metrics import structural_similarity as skimage_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from genrun.maths.ssim import structural_similarity


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 17, 40)])
def test_it_is_torchmetrics_on_the_windows_inside_the_image(shape):
    x = torch.rand(5, *shape, generator=seeded(), dtype=torch.float64)
    y = (x + 0.2 * torch.randn(x.shape, generator=seeded(1), dtype=torch.float64)).clamp(0, 1)
    _, everywhere = structural_similarity_index_measure(x, y, data_range=1.0, return_full_image=True)
    inside = everywhere[..., 5:-5, 5:-5].flatten(1).mean(1)
    torch.testing.assert_close(structural_similarity(x, y), inside, rtol=1e-10, atol=1e-12)


def test_it_is_scikit_images():
    x, y = (torch.rand(28, 28, generator=seeded(seed), dtype=torch.float64) for seed in (0, 1))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    expected = skimage_similarity(x.numpy(), y.numpy(), **options)
    assert structural_similarity(x[None, None], y[None, None]).item() == pytest.approx(expected, rel=1e-10)


def test_one_window_of_a_small_image_by_hand():
    """3×3 pixels are one window."""
    x, y = (torch.rand(1, 1, 3, 3, generator=seeded(seed), dtype=torch.float64) for seed in (0, 1))
    place = torch.arange(-1, 2, dtype=torch.float64)
    line = torch.exp(-(place**2) / (2 * (1.5 * 3 / 11) ** 2))
    w = torch.outer(line, line) / line.sum() ** 2
    mean_x, mean_y = (w * x[0, 0]).sum(), (w * y[0, 0]).sum()
    variance_x, variance_y = (w * (x[0, 0] - mean_x) ** 2).sum(), (w * (y[0, 0] - mean_y) ** 2).sum()
    covariance = (w * (x[0, 0] - mean_x) * (y[0, 0] - mean_y)).sum()
    expected = (2 * mean_x * mean_y + 1e-4) * (2 * covariance + 9e-4)
    expected /= (mean_x**2 + mean_y**2 + 1e-4) * (variance_x + variance_y + 9e-4)
    torch.testing.assert_close(structural_similarity(x, y), expected[None])


def test_an_image_is_1_to_itself_and_gradients_are_finite_where_it_is_flat():
    x = torch.zeros(2, 1, 28, 28, requires_grad=True)
    similarity = structural_similarity(x, torch.zeros(2, 1, 28, 28))
    assert similarity.tolist() == [1, 1]
    similarity.sum().backward()
    assert x.grad.isfinite().all()


def test_mixed_precision_does_not_change_it():
    x, y = (torch.rand(3, 1, 28, 28, generator=seeded(seed)) for seed in (0, 1))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(structural_similarity(x, y), structural_similarity(x.clone(), y))
        assert structural_similarity(x, y).dtype == torch.float32
