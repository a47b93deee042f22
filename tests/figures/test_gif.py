"""GIFs keep their colours and times, stay small, and repeat."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.figures import opened
from PIL import Image

from genrun.figures.gif import gif_bytes, timelapse, zoom
from genrun.figures.grid import image_grid, picture, png_bytes, to_uint8


def shown(gif: Image.Image) -> list[np.ndarray]:
    """Each frame as a viewer shows it, (H, W, 3)."""
    frames = []
    for k in range(gif.n_frames):
        gif.seek(k)
        frames.append(np.asarray(gif.convert("RGB")))
    return frames


def test_a_gif_keeps_its_greys_its_times_and_loops(digits):
    frames = [image_grid(digits[k : k + 4], 2, scale=4) for k in (0, 1, 1, 1, 2, 0, 0)]
    data = gif_bytes(frames, seconds=1.4, hold_last=0.5)
    gif = opened(data)
    assert (gif.n_frames, gif.info["loop"], gif.size) == (4, 0, frames[0].size)  # equal neighbours are shown longer
    durations = []
    for k, pixels in enumerate(shown(gif)):
        assert np.array_equal(pixels, np.asarray(frames[(0, 1, 4, 5)[k]].convert("RGB")))
        gif.seek(k)
        durations.append(gif.info["duration"])
    assert durations == [200, 600, 200, 900]
    assert data == gif_bytes(frames, seconds=1.4, hold_last=0.5)


def test_a_gif_of_all_256_greys_is_exact():
    ramp = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)
    frames = [picture(ramp), picture(ramp.flip(1)), picture(ramp.flip(2))]
    for pixels, frame in zip(shown(opened(gif_bytes(frames))), frames, strict=True):
        assert np.array_equal(pixels[..., 0], np.asarray(frame))


def test_a_gif_of_many_colours_is_near():
    smooth = torch.stack(torch.meshgrid(torch.linspace(0, 1, 48), torch.linspace(0, 1, 48), indexing="ij"))
    many = [picture(torch.cat([smooth, smooth[:1] * a])) for a in (0.1, 0.5, 0.9)]
    gif = opened(gif_bytes(many))
    assert gif.n_frames == 3
    for pixels, frame in zip(shown(gif), many, strict=True):
        assert np.abs(pixels.astype(int) - np.asarray(frame)).mean() < 16


def test_frames_last_at_least_two_hundredths_and_one_frame_is_a_gif():
    frames = [Image.new("L", (4, 4), k) for k in range(50)]
    gif = opened(gif_bytes(frames, seconds=0.1, hold_last=0))
    gif.seek(7)
    assert gif.n_frames == 50 and gif.info["duration"] == 20
    assert opened(gif_bytes(frames[:1])).n_frames == 1


def test_gifs_refuse_what_is_no_film():
    with pytest.raises(ValueError, match="4×4, 5×4"):
        gif_bytes([Image.new("L", (4, 4)), Image.new("L", (5, 4))])
    with pytest.raises(ValueError, match="at least one frame"):
        gif_bytes([])
    with pytest.raises(ValueError, match="negative"):
        gif_bytes([Image.new("L", (4, 4))], seconds=-1)


def test_a_timelapse_thins_evenly_and_keeps_first_and_last(tmp_path):
    paths = []
    for epoch in range(1, 101):
        paths.append(tmp_path / f"epoch_{epoch:04d}.png")
        images = torch.full((20, 1, 8, 8), epoch, dtype=torch.uint8)
        paths[-1].write_bytes(png_bytes(image_grid(images, 10)))
    data = timelapse(paths, most=12)
    gif = opened(data)
    assert gif.n_frames == 12 and gif.width <= 480 and gif.info["loop"] == 0
    seen = [int(pixels[3, 3, 0]) for pixels in shown(gif)]
    expected = [1 + 9 * k for k in range(12)]  # 1, 10, …, 100
    assert all(abs(a - b) <= 3 for a, b in zip(seen, expected, strict=True))  # 64 steps of grey
    captions = [pixels[-22:].tobytes() for pixels in shown(gif)]
    assert len(set(captions)) == 12
    assert data == timelapse(paths, most=12)
    assert opened(timelapse(paths[:3])).n_frames == 3
    assert opened(timelapse(paths[:1])).n_frames == 1
    with pytest.raises(ValueError, match="most ≥ 2"):
        timelapse(paths, most=1)
    with pytest.raises(ValueError, match="at least one picture"):
        timelapse([])
    with pytest.raises(OSError):
        timelapse([tmp_path / "none.png"])


def continuous(image):
    """(1, 1, 8, 8) → a render of the bicubic surface through its pixels."""

    def render(resolution, window=None):
        size = (resolution, resolution)
        whole = torch.nn.functional.interpolate(image, size=size, mode="bicubic").clamp(0, 1)[0]
        top, left, height, width = window or (0, 0, *size)
        return whole[:, top : top + height, left : left + width]

    return render


def test_a_zoom_shows_the_same_window_twice_and_ends_at_its_factor(digits):
    asked = []
    inner = continuous(digits[:1])

    def render(resolution, window):
        asked.append(resolution)
        return inner(resolution, window)

    data = zoom(render, smallest=28, factor=4.0, frames=5, size=210)
    gif = opened(data)
    assert (gif.n_frames, gif.size, gif.info["loop"]) == (5, (210, 210), 0)
    panel, pad = 90, 10
    assert asked[0] == 28 and asked[1] == panel and asked[-1] == 4 * panel and asked == sorted(asked)
    last = shown(gif)[-1][..., 0].astype(int)
    left, right = last[100:190, pad : pad + panel], last[100:190, 110:200]
    fine = to_uint8(inner(360)[None])[0, 135:225, 135:225, 0].astype(int)
    assert np.abs(right - fine).max() <= 3  # 64 steps of grey
    coarse = to_uint8(inner(28)[None])[0, ..., 0].astype(int)
    where = ((np.arange(135, 225) + 0.5) * 28 / 360).astype(int)
    assert np.abs(left - coarse[where][:, where]).max() <= 3
    assert data == zoom(inner, smallest=28, factor=4.0, frames=5, size=210)


def test_a_zoom_of_a_grey_28_pixel_image_stays_below_300_kilobytes(digits):
    assert len(zoom(continuous(digits[5:6]), smallest=28)) <= 300_000


def test_a_zoom_refuses_other_shapes_and_ranges(digits):
    with pytest.raises(ValueError, match=r"render\(28, None\) must give \(C, 28, 28\), got \(1, 8, 8\)"):
        zoom(lambda resolution, window: digits[0], smallest=28)
    for wrong in ({"factor": 1.0}, {"frames": 1}, {"size": 50}, {"smallest": 0}):
        with pytest.raises(ValueError, match="a zoom needs"):
            zoom(continuous(digits[:1]), **{"smallest": 28, **wrong})
