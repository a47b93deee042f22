"""Figures are honest (pixels where and what they should be), small, and the same bytes for the same input."""

import io
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from genrun.figures.gif import gif_bytes, timelapse, zoom
from genrun.figures.grid import LINE, beside, image_grid, magnified, narrowed, picture, png_bytes, to_uint8
from genrun.figures.plots import MOST_POINTS, _components, _limits, _series, code_scatter, curves


@pytest.fixture(scope="module")
def digits():
    return torch.tensor(load_digits().images[:40] / 16, dtype=torch.float32)[:, None]  # (40, 1, 8, 8)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def shown(gif: Image.Image) -> list[np.ndarray]:
    """Each frame as a viewer shows it, (H, W, 3)."""
    frames = []
    for k in range(gif.n_frames):
        gif.seek(k)
        frames.append(np.asarray(gif.convert("RGB")))
    return frames


# ---------------------------------------------------------------- grids


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


# ---------------------------------------------------------------- GIFs


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


# ---------------------------------------------------------------- plots


def rows_of(epochs):
    return [{"epoch": e, "train/loss": 100 / e**2, "val/loss": 110 / e**2, "time": 1.0} for e in range(1, epochs + 1)]


def test_series_skips_what_is_missing_and_keeps_order():
    rows = [
        {"epoch": 0, "train/b": 1, "train/a": "2.5", "val/b": "", "lr": 3},
        {"epoch": "1", "train/b": None, "train/a": float("nan"), "val/b": 4},
    ]
    assert _series(rows) == {("b", "train"): [(0, 1)], ("a", "train"): [(0, 2.5)], ("b", "val"): [(1, 4)]}


def test_curves_have_one_panel_per_term_three_a_row():
    one = curves(rows_of(5))
    more = curves([{**row, "train/kl": 1.0, "val/score": -2.0, "train/x": 3.0} for row in rows_of(5)])
    assert one.mode == more.mode == "RGB"
    assert one.size == (363, 275)  # 3.3 × 2.5 inches at 110 dots
    assert more.size == (1023, 517)  # four terms: three and one
    assert np.asarray(more)[300:, 700:].min() == 255  # the empty places stay white
    assert np.array_equal(np.asarray(one), np.asarray(curves(rows_of(5))))


def test_curves_draw_validation_only_where_there_is_some():
    orange = (np.asarray(curves(rows_of(5))).astype(int) @ [1, 0, -1] > 150).any()
    assert orange
    only = np.asarray(curves([{"epoch": 1, "train/loss": 1.0}])).astype(int)
    assert not (only @ [1, 0, -1] > 150).any() and (only @ [-1, 0, 1] > 90).any()


def test_curves_refuse_rows_without_terms():
    for rows in ([], [{"epoch": 1, "lr": 1.0}], [{"epoch": 1, "train/loss": float("inf")}]):
        with pytest.raises(ValueError, match="train/… or val/…"):
            curves(rows)
    with pytest.raises(ValueError, match="epoch"):
        curves([{"train/loss": 1.0}])


def test_components_are_those_of_an_independent_decomposition():
    rng = np.random.default_rng(3)
    last = rng.normal(size=(60, 5)) * [1, 6, 2, 0.5, 3] + 4
    first = rng.normal(size=(60, 5))
    (a, b), shares = _components(first, last)
    centred = last - last.mean(0)
    _, s, v = np.linalg.svd(centred, full_matrices=False)
    assert np.allclose(np.abs(b), np.abs(centred @ v[:2].T))
    assert np.allclose(np.abs(a), np.abs((first - last.mean(0)) @ v[:2].T))
    assert np.allclose(shares, (s**2 / (s**2).sum())[:2])


def test_one_dimension_one_code_and_equal_codes_are_drawn():
    (_, b), shares = _components(np.arange(5.0)[:, None], 2 * np.arange(5.0)[:, None])
    assert np.allclose(shares, [1, 0]) and (b[:, 1] == 0).all() and np.isclose(np.ptp(b[:, 0]), 8)
    for codes in (np.arange(5.0)[:, None], np.zeros((1, 3)), np.ones((6, 2))):
        image = code_scatter(0 * codes, codes, np.full(len(codes), -1), [])
        assert image.size == (792, 407)


def test_limits_are_shared_unless_one_cloud_is_a_dot():
    corners = np.array([[0.0, 0], [4, 2]])
    same = _limits(corners, corners + 2)
    assert same[0][1] == same[1][1] == pytest.approx(0.54 * 6) and same[0][0].tolist() == [3, 2]
    own = _limits(corners / 100, corners)
    assert own[1][1] / own[0][1] == pytest.approx(100)


def test_a_scatter_has_a_colour_per_class_and_a_legend_only_with_classes(digits):
    rng = np.random.default_rng(0)
    codes, labels = rng.normal(size=(300, 4)), rng.integers(0, 3, 300)
    classed = code_scatter(codes, 2 * codes, labels, ["a", "b", "c"])
    plain = code_scatter(codes, 2 * codes, np.full(300, -1), ["a", "b", "c"])
    assert classed.width > plain.width
    assert np.array_equal(np.asarray(plain), np.asarray(code_scatter(codes, 2 * codes, labels, [])))
    pixels = np.asarray(classed).astype(int)
    for colour in ((31, 119, 180), (255, 127, 14), (44, 160, 44)):  # the first three of tab10, in the legend
        assert (np.abs(pixels[:, 790:] - colour).max(-1) < 6).any()
    assert code_scatter(codes, codes, labels % 2 - 1, ["only"]).width == classed.width


def test_a_scatter_thins_the_same_way_each_time_and_leaves_global_randomness_alone():
    rng = np.random.default_rng(0)
    n = MOST_POINTS + 500
    codes, labels = rng.normal(size=(n, 6)), rng.integers(0, 10, n)
    np.random.seed(5)
    torch.manual_seed(5)
    before, torch_before = np.random.get_state(), torch.get_rng_state()
    image = code_scatter(codes, codes**2, labels, [str(k) for k in range(10)])
    image_grid(torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)), 2)
    after = np.random.get_state()
    assert before[2:] == after[2:] and np.array_equal(before[1], after[1])
    assert torch.equal(torch_before, torch.get_rng_state())
    assert np.array_equal(np.asarray(image), np.asarray(code_scatter(codes, codes**2, labels, list("0123456789"))))


@pytest.mark.parametrize(
    ("first", "last", "labels", "message"),
    [
        (np.zeros((4, 2)), np.zeros((5, 2)), np.zeros(4, int), r"\(4, 2\), \(5, 2\) and \(4,\)"),
        (np.zeros((4, 2)), np.zeros((4, 2)), np.zeros(3, int), r"and \(3,\)"),
        (np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0, int), r"\(0, 2\)"),
        (np.zeros((4, 2)), np.full((4, 2), np.nan), np.zeros(4, int), "finite"),
        (np.zeros((4, 2)), np.ones((4, 2)), np.full(4, 7), "-1 … 1"),
    ],
)
def test_a_scatter_refuses_codes_that_do_not_fit(first, last, labels, message):
    with pytest.raises(ValueError, match=message):
        code_scatter(first, last, labels, ["a", "b"])


def test_pyplot_is_never_imported_and_matplotlib_only_by_plots():
    code = """
import sys, torch, numpy as np
from genrun.figures import gif, grid, plots
grid.image_grid(torch.zeros(2, 1, 8, 8), 2, row_names=["x"])
assert "matplotlib" not in sys.modules and "sklearn" not in sys.modules
import matplotlib
# (reading the backend would load pyplot)
settings = lambda: {key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != "backend"}
before = settings()
plots.curves([{"epoch": 1, "train/a": 1.0}])
plots.code_scatter(np.eye(3), np.eye(3), np.arange(3), ["a", "b", "c"])
assert "matplotlib.pyplot" not in sys.modules
assert settings() == before
assert not {"lightning", "pytorch_lightning", "hydra", "omegaconf"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
