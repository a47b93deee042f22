"""Films and strips show the states they are given, noise stays small, and a schedule has a panel for each magnitude."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers.figures import noised
from PIL import Image

from genrun.figures.gif import MOST_BYTES
from genrun.figures.grid import to_uint8
from genrun.figures.processes import FILMS, _by_magnitude, film, schedule, strip


def shown(data: bytes) -> list[np.ndarray]:
    """Each frame as a viewer shows it, (H, W, 3)."""
    gif, frames = Image.open(io.BytesIO(data)), []
    for k in range(gif.n_frames):
        gif.seek(k)
        frames.append(np.asarray(gif.convert("RGB")))
    return frames


# ---------------------------------------------------------------------------------------------------------------- films


def test_a_film_shows_each_state_in_order_and_holds_the_last():
    states = torch.linspace(0, 1, 7)[:, None, None, None, None].expand(7, 30, 1, 8, 8)
    data = film(states)
    frames, scale = shown(data), 6  # 5 × 8 × 6 of about 250 pixels
    assert len(frames) == 7 and frames[0].shape == (5 * 49 + 1, 5 * 49 + 1, 3)
    for frame, state in zip(frames, states, strict=True):
        for row, column in ((0, 0), (4, 4)):
            y, x = 1 + row * (8 * scale + 1), 1 + column * (8 * scale + 1)
            cell = frame[y : y + 8 * scale, x : x + 8 * scale].astype(int)
            assert np.abs(cell - 255 * float(state[0, 0, 0, 0])).max() <= 2.6  # 64 steps of grey, rounded
    gif = Image.open(io.BytesIO(data))
    times = []
    for k in range(7):
        gif.seek(k)
        times.append(gif.info["duration"])
    assert times[-1] == max(times) and times[-1] >= 1000 and gif.info["loop"] == 0
    assert data == film(states.clone())


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 16, 16), (3, 32, 32)])
def test_noise_stays_below_300_kilobytes(shape):
    images = torch.rand(25, *shape, generator=torch.Generator().manual_seed(1)).round()
    states = noised(images, 40, torch.Generator().manual_seed(0))
    data = film(states)
    frames = shown(data)
    assert len(data) <= MOST_BYTES and len(frames) >= 12
    assert np.isin(frames[0], [0, 96, 255]).all() or shape[0] == 3  # the clean state keeps black and white


def test_a_film_of_grey_noise_keeps_25_images_and_of_colour_noise_9():
    for shape, columns, scale in (((1, 28, 28), 5, 2), ((3, 32, 32), 3, 2)):
        states = noised(torch.zeros(25, *shape), 40, torch.Generator().manual_seed(0)).clamp(0, 1)
        assert shown(film(states))[0].shape[1] == columns * (scale * shape[-1] + 1) + 1


def test_the_first_and_the_last_of_many_states_stay():
    states = torch.rand(300, 25, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    states[0], states[-1] = 0, 1
    frames = shown(film(states))
    assert set(np.unique(frames[0])) == {0, 96} and set(np.unique(frames[-1])) == {96, 255}
    assert len(frames) in {count for _, count in FILMS}


def test_a_film_of_one_state_of_one_image_and_of_uint8(digits):
    assert len(shown(film(digits[None, :1]))) == 1
    whole = (digits * 255).round().to(torch.uint8)
    assert film(whole[None]) == film(whole[None].float() / 255)


@pytest.mark.parametrize(
    ("states", "message"),
    [
        (torch.zeros(4, 1, 8, 8), r"\(4, 1, 8, 8\)"),
        (torch.zeros(0, 4, 1, 8, 8), r"\(0, 4, 1, 8, 8\)"),
        (torch.zeros(2, 4, 2, 8, 8), "C = 1 or 3"),
        (torch.full((2, 4, 1, 8, 8), torch.nan), "NaN"),
    ],
)
def test_what_are_no_states_is_refused(states, message):
    for draw in (film, strip):
        with pytest.raises(ValueError, match=message):
            draw(states)


# --------------------------------------------------------------------------------------------------------------- strips


def test_a_strip_has_a_row_for_each_image_and_time_to_the_right(digits):
    states = torch.linspace(0, 1, 19)[:, None, None, None, None] * digits[:25]  # (19, 25, 1, 8, 8)
    grid = np.asarray(strip(states, rows=5, columns=10))
    scale = (grid.shape[1] - 11) // 80
    for row, image in enumerate((0, 6, 12, 18, 24)):
        for column in range(10):
            y, x = 1 + row * (8 * scale + 1), 1 + column * (8 * scale + 1)
            cell = grid[y : y + 8 * scale : scale, x : x + 8 * scale : scale]
            assert np.array_equal(cell, to_uint8(states[2 * column, image : image + 1])[0, ..., 0])


def test_a_strip_of_few_states_and_images_shows_them_all(digits):
    grid = np.asarray(strip(digits[:6].reshape(3, 2, 1, 8, 8)))
    scale = (grid.shape[1] - 4) // 24
    assert grid.shape == (2 * (8 * scale + 1) + 1, 3 * (8 * scale + 1) + 1)
    for wrong in ({"rows": 0}, {"columns": 0}):
        with pytest.raises(ValueError, match="rows ≥ 1 and columns ≥ 1"):
            strip(digits[None], **wrong)


# ------------------------------------------------------------------------------------------------------------ schedules


def test_curves_of_one_magnitude_share_a_panel():
    values = {"a": np.array([0.0, 1.0]), "b": np.array([1e-4, 2e-2]), "c": np.array([-0.4, 0.1]), "d": np.array([1e4])}
    assert _by_magnitude(values) == [["a", "c"], ["b"], ["d"]]
    assert _by_magnitude({"zero": np.zeros(3), "too": np.zeros(2)}) == [["zero", "too"]]


def test_a_schedule_grows_by_panels_and_repeats():
    falling = torch.linspace(1, 1e-4, 50)
    one = schedule({"ᾱ": falling, "1 − ᾱ": 1 - falling})
    two = schedule({"ᾱ": falling, "SNR": falling / (1.0001 - falling)})
    assert (
        one.mode == "RGB" and one.size == (407, 308) and two.size == (781, 308)
    )  # 3.7 or 7.1 × 2.8 inches at 110 dots
    assert np.array_equal(np.asarray(one), np.asarray(schedule({"ᾱ": falling, "1 − ᾱ": 1 - falling})))
    assert schedule({str(k): falling * 10**k for k in range(4)}).size[1] > 500  # a second row
    schedule({"one step": torch.ones(1)})


@pytest.mark.parametrize(
    ("curves", "message"),
    [
        ({}, "at least one curve"),
        ({"β": torch.zeros(2, 2)}, r"'β' must be \(T,\)"),
        ({"β": torch.zeros(0)}, "T ≥ 1"),
        ({"β": torch.tensor([0.0, torch.inf])}, "finite"),
    ],
)
def test_a_schedule_refuses_what_is_no_curve(curves, message):
    with pytest.raises(ValueError, match=message):
        schedule(curves)


def test_only_the_schedule_imports_matplotlib_and_never_pyplot():
    code = """
import sys, torch
from genrun.figures import processes
processes.film(torch.zeros(2, 3, 1, 8, 8)), processes.strip(torch.zeros(2, 3, 1, 8, 8))
assert "matplotlib" not in sys.modules
processes.schedule({"SNR": torch.logspace(4, -4, 20)})
assert "matplotlib.pyplot" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
