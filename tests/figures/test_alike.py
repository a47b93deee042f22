"""Images that look alike, and codes that are one point."""

from __future__ import annotations

import pytest
import torch

from genrun.figures.alike import are_one_point, look_alike


def test_images_that_differ_by_little_look_alike(digits):
    grey = torch.full((225, 1, 8, 8), 0.5)
    assert look_alike(grey) and look_alike(digits[:1]) and look_alike(digits[:1].expand(9, -1, -1, -1))
    faint = grey + 0.03 * torch.randn(grey.shape, generator=torch.Generator().manual_seed(0))
    assert look_alike(faint) and look_alike(faint.expand(-1, 3, -1, -1))
    assert not look_alike(digits[:20])


def test_a_difference_in_one_pixel_is_seen():
    images = torch.zeros(10, 3, 64, 64)
    images[:5, 1, 7, 9] = 0.5
    assert not look_alike(images)


def test_what_the_label_alone_decides_does_not_count(digits):
    labels = torch.arange(3).repeat_interleave(20)
    of_labels = digits[:3].repeat_interleave(20, 0)
    assert not look_alike(of_labels) and look_alike(of_labels, labels)
    of_labels[0] = 1 - of_labels[0]  # one class has two kinds of images
    assert not look_alike(of_labels, labels)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_codes_are_one_point_at_any_scale(scale):
    code = scale * torch.randn(1, 6, generator=torch.Generator().manual_seed(0))
    assert are_one_point(code.repeat(50, 1)) and are_one_point(code.repeat(50, 1) * (1 + 1e-8))
    assert not are_one_point(code * torch.linspace(0.99, 1, 50)[:, None])
    assert are_one_point(torch.zeros(5, 2))
