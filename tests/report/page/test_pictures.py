"""Pictures of a run as data URIs: crisp, within a budget of bytes, and only true pictures of the run folder."""

from __future__ import annotations

import base64
import io
import os
import struct
import zlib

import numpy as np
import pytest
from helpers.reports import grid
from PIL import Image

from genrun.errors import Refused
from genrun.figures.grid import png_bytes
from genrun.report.page import pictures
from genrun.report.page.pictures import (
    exact,
    figure_pictures,
    frame_pictures,
    grid_picture,
    layout_of,
    read_picture,
    thumbnail,
    true_pixels,
)


def decoded(uri: str) -> Image.Image:
    kind, _, content = uri.partition(";base64,")
    assert kind in ("data:image/webp", "data:image/png", "data:image/gif")
    return Image.open(io.BytesIO(base64.b64decode(content)))


def written(path, image: Image.Image):
    path.write_bytes(png_bytes(image))
    return path


def test_a_grid_keeps_every_pixel(tmp_path):
    drawn = grid(1)
    picture, named = grid_picture(tmp_path, written(tmp_path / "final.png", drawn))
    assert np.array_equal(np.asarray(decoded(picture.uri).convert("L")), np.asarray(drawn))
    assert not named and (picture.width, picture.height) == drawn.size


def test_the_original_is_kept_byte_by_byte(tmp_path):
    file = written(tmp_path / "final.png", grid(1))
    assert base64.b64decode(exact(tmp_path, file).uri.partition(",")[2]) == file.read_bytes()


def test_true_pixels_are_those_of_the_images():
    small = true_pixels(grid(3, columns=4, scale=5, gap=2))
    assert np.array_equal(np.asarray(small), np.asarray(grid(3, columns=4, scale=1, gap=2)))


@pytest.mark.parametrize("layout", ["8 8 3", "0 8 3 1", "8 8 3 2", "x", "8 8 3 99999", "9" * 9 + " 8 3 1"])
def test_a_layout_that_does_not_fit_is_not_used(layout):
    drawn = grid(1)
    drawn.info[pictures.LAYOUT] = layout
    assert layout_of(drawn) is None and true_pixels(drawn) is drawn


def test_frames_are_exact_where_the_budget_allows(tmp_path):
    files = [written(tmp_path / f"epoch_{k}.png", grid(k)) for k in range(4)]
    found, broken = frame_pictures(tmp_path, files, 10**6)
    assert [file for file, _ in found] == files and not broken
    assert np.array_equal(np.asarray(decoded(found[2][1].uri).convert("L")), np.asarray(grid(2)))


@pytest.mark.parametrize("budget", [20_000, 8_000, 2_000])
def test_frames_stay_within_a_small_budget_and_the_last_one_is_kept(tmp_path, budget):
    files = [written(tmp_path / f"epoch_{k}.png", grid(k, columns=8, scale=4)) for k in range(10)]
    found, _ = frame_pictures(tmp_path, files, budget)
    assert sum(len(picture.uri) for _, picture in found) * 3 / 4 < 1.3 * budget
    assert found[-1][0] == files[-1]
    assert [file for file, _ in found] == sorted(file for file, _ in found)


@pytest.mark.parametrize("noisy", [range(5), range(5, 10), [3]])
@pytest.mark.parametrize("budget", [20_000, 6_000])
def test_frames_of_different_sizes_stay_within_the_budget(tmp_path, noisy, budget):
    plain = Image.new("L", grid(1, columns=8).size)
    files = [
        written(tmp_path / f"epoch_{k}.png", grid(k, columns=8, scale=4) if k in noisy else plain) for k in range(10)
    ]
    found, _ = frame_pictures(tmp_path, files, budget)
    assert sum(len(picture.uri) for _, picture in found) * 3 / 4 < 1.05 * budget  # base64 is filled up
    assert found[-1][0] == files[-1]


def test_what_is_no_picture_is_named(tmp_path):
    (tmp_path / "epoch_1.png").write_text("<svg onload=alert(1)>")
    (tmp_path / "epoch_2.png").write_bytes(png_bytes(grid(1))[:300])
    (tmp_path / "epoch_3.png").mkdir()
    os.mkfifo(tmp_path / "epoch_4.png")
    good = written(tmp_path / "epoch_5.png", grid(5))
    files = sorted(tmp_path.iterdir())
    for read in (frame_pictures, figure_pictures):
        found, broken = read(tmp_path, files, 10**6)
        assert [file for file, _ in (found.items() if isinstance(found, dict) else found)] == [good]
        assert len(broken) == 4 and all("\n" not in line for line in broken)


def test_a_link_out_of_the_run_is_refused_and_one_inside_is_followed(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    written(tmp_path / "secret.png", grid(1))
    (run / "out.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(Refused, match="link out of the run folder"):
        read_picture(run, run / "out.png")
    written(run / "real.png", grid(1))
    (run / "in.png").symlink_to("real.png")
    assert read_picture(run, run / "in.png")[1].size == grid(1).size


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_read(tmp_path):
    Image.new("1", (6000, 6000)).save(tmp_path / "bomb.png")
    with pytest.raises(Refused, match="36,000,000 pixels"):
        read_picture(tmp_path, tmp_path / "bomb.png")


def test_a_small_file_that_says_to_be_huge_is_refused(tmp_path):
    header = struct.pack(">II5B", 10**6, 10**6, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    content = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    with pytest.raises(Refused, match="more pixels than a picture may have"):
        read_picture(tmp_path, tmp_path / "bomb.png")


def test_the_pixels_of_a_film_are_those_of_all_its_frames(tmp_path):
    frames = [Image.new("P", (3000, 3000), k) for k in range(4)]
    frames[0].save(tmp_path / "bomb.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(Refused, match="36,000,000 pixels"):
        read_picture(tmp_path, tmp_path / "bomb.gif")


def test_a_film_stays_a_film_and_has_a_still(tmp_path):
    frames = [grid(k) for k in range(5)]
    frames[0].save(tmp_path / "zoom.gif", save_all=True, append_images=frames[1:], duration=120, loop=0)
    found, _ = figure_pictures(tmp_path, [tmp_path / "zoom.gif"], 10**6)
    picture = found[tmp_path / "zoom.gif"]
    assert decoded(picture.uri).n_frames == 5 and decoded(picture.still).n_frames == 1


def test_figures_get_smaller_until_they_fit(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    sizes = []
    for budget in (10**8, 100_000):
        found, _ = figure_pictures(tmp_path, [tmp_path / "a.png"], budget)
        sizes.append(len(found[tmp_path / "a.png"].uri))
        assert (found[tmp_path / "a.png"].width, found[tmp_path / "a.png"].height) == (1300, 1200)
    assert sizes[1] < sizes[0] / 3


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (20_000, 3)])
def test_odd_sizes_have_a_thumbnail_and_a_figure(tmp_path, size):
    Image.new("L", size).save(tmp_path / "a.png")
    assert decoded(thumbnail(tmp_path, tmp_path / "a.png").uri).size[0] >= 1
    found, broken = figure_pictures(tmp_path, [tmp_path / "a.png"], 10**6)
    assert len(found) == 1 and not broken and grid_picture(tmp_path, tmp_path / "a.png")
