"""Grids show each pixel where and what it should be, and are the same bytes for the same input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.figures import opened
from PIL import Image

from genrun.figures.grid import LINE, beside, image_grid, magnified, narrowed, picture, png_bytes, to_uint8


def test_to_uint8_rounds_clamps_and_puts_channels_last():
    x = torch.tensor([0.0, 0.5 / 255 + 1e-4, 1.0, 1.2, -0.1, 100.4 / 255]).reshape(1, 1, 2, 3)
    assert to_uint8(x).tolist() == [[[[0], [1], [255]], [[255], [0], [100]]]]
    colour = torch.arange(24, dtype=torch.uint8).reshape(2, 3, 2, 2)
    assert np.array_equal(to_uint8(colour), colour.numpy().transpose(0, 2, 3, 1))
    assert np.array_equal(to_uint8(x.double()), to_uint8(x))


def test_every_value_of_uint8_survives_the_way_through_floats():
    values = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert np.array_equal(to_uint8(values.float() / 255), to_uint8(values))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(4, 8, 8), r"\(4, 8, 8\)"),
        (torch.zeros(4, 2, 8, 8), "C = 1 or 3"),
        (torch.zeros(0, 1, 8, 8), "n ≥ 1"),
        (torch.zeros(1, 1, 8, 8, dtype=torch.int64), "int64"),
        (torch.full((1, 1, 2, 2), float("nan")), "NaN"),
        (torch.full((1, 3, 2, 2), float("inf")), "Inf"),
    ],
)
def test_images_that_are_none_are_refused_in_one_line(images, message):
    for draw in (to_uint8, lambda images: image_grid(images, 2)):
        with pytest.raises(ValueError, match=message) as caught:
            draw(images)
        assert "\n" not in str(caught.value)


def test_a_grid_has_each_pixel_where_the_docstring_says_and_enlarges_it_exactly():
    images = torch.randint(0, 256, (5, 3, 2, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    scale, gap = 3, 2
    grid = np.asarray(image_grid(images, 3, scale=scale, gap=gap))
    assert grid.shape == (2 + 2 * (6 + 2), 2 + 3 * (12 + 2), 3)
    mask = np.ones(grid.shape[:2], dtype=bool)
    for k in range(5):
        y, x = gap + k // 3 * (scale * 2 + gap), gap + k % 3 * (scale * 4 + gap)
        cell = np.kron(images[k].permute(1, 2, 0).numpy(), np.ones((scale, scale, 1), dtype=np.uint8))
        assert np.array_equal(grid[y : y + 6, x : x + 12], cell)
        mask[y : y + 6, x : x + 12] = False
    assert (grid[mask] == LINE).all()  # lines, border and the empty sixth cell


def test_grey_stays_grey_and_a_grid_is_about_750_pixels_wide(digits):
    grid = image_grid(digits, 10)
    assert grid.mode == "L"
    for size, columns in ((8, 10), (28, 10), (28, 8), (32, 10), (64, 5), (32, 13)):
        assert 600 <= image_grid(torch.zeros(columns, 1, size, size), columns).width <= 900
    assert image_grid(torch.zeros(40, 1, 28, 28), 2).height <= 1200 + 21  # a tall one is bounded
    assert image_grid(torch.zeros(3, 1, 4, 4), 10, scale=1).width == 1 + 3 * 5  # a short row


def test_row_names_stand_left_of_an_unchanged_grid(digits):
    bare = np.asarray(image_grid(digits[:6], 3, scale=4))
    named = np.asarray(image_grid(digits[:6], 3, scale=4, row_names=["data", "2² × ü"]))
    margin = named.shape[1] - bare.shape[1]
    assert np.array_equal(named[:, margin:], bare)
    for row in (named[:33, :margin], named[33:, :margin]):
        assert row.min() < 128 and (row == 255).mean() > 0.5  # something is written, on white
    with pytest.raises(ValueError, match="2 rows, got 1"):
        image_grid(digits[:6], 3, row_names=["data"])


@pytest.mark.parametrize("wrong", [{"columns": 0}, {"columns": 2, "gap": -1}, {"columns": 2, "scale": 0}])
def test_a_grid_refuses_impossible_sizes(digits, wrong):
    with pytest.raises(ValueError, match="columns ≥ 1, gap ≥ 0 and scale ≥ 1"):
        image_grid(digits, **wrong)


def test_pngs_repeat_and_lose_nothing(digits):
    grid = image_grid(digits, 8)
    data = png_bytes(grid)
    assert data == png_bytes(image_grid(digits.clone(), 8))
    assert np.array_equal(np.asarray(opened(data)), np.asarray(grid))
    labelled = grid.copy()
    labelled.info["Software"] = "something"
    assert png_bytes(labelled) == data


def test_a_narrowed_grid_is_the_grid_at_a_smaller_scale(digits):
    colour = digits.repeat(1, 3, 1, 1) * torch.tensor([1.0, 0.5, 0.2]).reshape(3, 1, 1)
    for images in (digits, colour):
        wide = opened(png_bytes(image_grid(images, 10, scale=9, gap=2)))  # by way of the file
        exact = image_grid(images, 10, scale=5, gap=2)
        assert np.array_equal(np.asarray(narrowed(wide, 430)), np.asarray(exact))
        assert narrowed(wide, 60).width == 60  # below scale 1: means
    cropped = wide.crop((0, 0, wide.width - 5, wide.height))
    assert narrowed(cropped, 430).width == 430  # the copied note no longer holds
    assert narrowed(exact, 1000) is exact


def test_magnified_is_nearest_neighbour(digits):
    small = picture(digits[0])
    assert small.size == (8, 8) and np.array_equal(np.asarray(small), to_uint8(digits[:1])[0, ..., 0])
    assert np.array_equal(np.asarray(magnified(small, 40)), np.kron(np.asarray(small), np.ones((5, 5), np.uint8)))
    assert magnified(small, 300).size == (300, 300)
    assert set(np.unique(magnified(small, 300))) == set(np.unique(small))
    with pytest.raises(ValueError, match="at least the picture's 8"):
        magnified(small, 7)


def test_beside_aligns_lower_edges_and_resizes_nothing(digits):
    low, high = Image.new("L", (120, 50), 10), Image.new("L", (130, 90), 20)
    sheet = beside([low, high], ["28 × 28 pixels", "a caption long enough to be broken into lines"])
    pixels = np.asarray(sheet)
    assert sheet.mode == "L"
    for value, (width, height) in ((10, low.size), (20, high.size)):
        # captions are darker than paper too: count only the rectangle of the picture's own grey
        ys, xs = np.nonzero(pixels[:104] == value)
        assert (ys.min(), ys.max()) == (104 - height, 103)
        assert xs.max() - xs.min() + 1 == width and len(ys) == width * height
    assert pixels[0].min() == 255 and pixels[108:].min() < 128
    assert beside([low, high.convert("RGB")], ["", ""]).mode == "RGB"
    for pictures, captions in (([], []), ([low], ["a", "b"])):
        with pytest.raises(ValueError, match="one caption per picture"):
            beside(pictures, captions)
