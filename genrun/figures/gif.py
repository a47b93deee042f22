"""Animated GIFs: frames, a time-lapse of the epochs of a run, and a zoom into a continuous image."""

from __future__ import annotations

import contextlib
import io
import math
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from genrun.figures.grid import INK, PAPER, font, narrowed, picture

Window = tuple[int, int, int, int]  # (top, left, height, width), pixels

TIMELAPSE_WIDTH = 480  # pixels: largest width of a time-lapse
MOST_BYTES = 300_000  # size that a zoom or a film should not exceed


class TooLarge(Exception):
    """A GIF would be larger than it may be."""


class Limited(io.BytesIO):
    """A file in memory that raises `TooLarge` when it would hold more than `most` bytes."""

    def __init__(self, most: float) -> None:
        super().__init__()
        self.most = most

    def write(self, content: bytes | bytearray | memoryview) -> int:
        if self.tell() + len(content) > self.most:
            raise TooLarge(f"more than {self.most:,} bytes")
        return super().write(content)


def gif_bytes(
    frames: Sequence[Image.Image], *, seconds: float = 4.0, hold_last: float = 1.0, most_bytes: float = math.inf
) -> bytes:
    """Encode frames of one size as an endless GIF: all frames in `seconds`, then the last one for `hold_last` seconds more.

    Grey frames keep their 256 greys exactly. Colour frames share one palette, without dithering, which would flicker. If a
    frame equals the one before it, that one is shown for longer instead. A frame lasts at least 0.02 s, the shortest time
    that browsers respect.

    Args:
        frames: at least one picture, of any mode.
        seconds: duration of all frames.
        hold_last: additional duration of the last frame, in seconds.
        most_bytes: largest size. No further frame is encoded when it is reached, which saves most of the time.

    Raises:
        ValueError: no frames, frames of several sizes, or negative times.
        TooLarge: the GIF has more than `most_bytes`.
    """
    if not frames:
        raise ValueError("a GIF needs at least one frame, got none")
    sizes = sorted({frame.size for frame in frames})
    if len(sizes) > 1:
        raise ValueError(f"frames of a GIF must have one size, got {', '.join(f'{w}×{h}' for w, h in sizes)}")
    if seconds < 0 or hold_last < 0:
        raise ValueError(f"times of a GIF must not be negative, got seconds {seconds} and hold_last {hold_last}")

    # whole hundredths of a second, rounded so that their sum stays close to `seconds`
    ends = [round(100 * seconds * k / len(frames)) for k in range(len(frames) + 1)]
    times = [max(2, end - start) for start, end in pairwise(ends)]
    times[-1] += round(100 * hold_last)

    first, *others = _one_palette(frames)
    file = Limited(most_bytes)
    first.save(
        file, "GIF", save_all=True, append_images=others, duration=[10 * time for time in times], loop=0, optimize=False
    )
    return file.getvalue()


def timelapse(paths: Sequence[Path], *, most: int = 60) -> bytes:
    """Make a GIF, at most 480 pixels wide, of the PNGs of epochs in the given order, with "epoch N" below each frame.

    N is the number in the file's name (epoch_0012.png). A name without a number is written as it is. If there are more
    than `most` pictures, evenly spaced ones are shown, including the first and the last.

    Raises:
        ValueError: no paths, `most` below 2, or pictures of several sizes.
        OSError: a file is missing or is not a picture.
    """
    if not paths or most < 2:
        raise ValueError(f"a time-lapse needs at least one picture and most ≥ 2, got {len(paths)} and most {most}")
    if len(paths) > most:
        paths = [paths[round(k * (len(paths) - 1) / (most - 1))] for k in range(most)]
    return gif_bytes([_epoch_frame(Path(path)) for path in paths])


def zoom(
    render: Callable[[int, Window | None], Tensor],
    *,
    smallest: int,
    factor: float = 10.0,
    frames: int = 40,
    size: int = 280,
) -> bytes:
    """Make a GIF that zooms into the centre of a continuous image, 1× … factor×, beside its training pixels.

    The top shows the whole image with a frame around the zoom window, and the magnification. Below is the window, twice. On
    the left are the pixels of `render(smallest)`, enlarged by nearest neighbour. On the right is the continuous image,
    rendered for each frame at the resolution that fills the panel, so none of its pixels is resampled. The magnification
    grows by equal ratios. There are 64 levels of grey, or fewer if the GIF would be larger than 300 kB. With the fewest, 8,
    it may be larger.

    Args:
        render: (resolution r, window) → one image (C, r, r) in [0, 1], C = 1 or 3, or only its window (top, left, height, width)
            as (C, height, width). The largest r is factor·size·3/7.
        smallest: the training resolution, in pixels.
        factor: the last magnification, above 1.
        frames: number of frames, at least 2.
        size: width and height of the GIF in pixels, at least 160.

    Raises:
        ValueError: arguments outside these ranges, or a rendered image of another shape.
    """
    if smallest < 1 or factor <= 1 or frames < 2 or size < 160:
        raise ValueError(
            "a zoom needs smallest ≥ 1, factor > 1, frames ≥ 2 and size ≥ 160, "
            f"got smallest {smallest}, factor {factor}, frames {frames}, size {size}"
        )
    panel = size * 3 // 7
    known = _render_picture(render, smallest)
    views = []
    for k in range(frames):
        magnification = factor ** (k / (frames - 1))
        # odd or even like the panel, so that the window is centred exactly
        resolution = panel + 2 * round(panel * (magnification - 1) / 2)
        start = (resolution - panel) // 2
        window = (start, start, panel, panel)
        # the pixel of the small image that each pixel of the window shows
        at = ((np.arange(start, start + panel) + 0.5) * smallest / resolution).astype(int)
        coarse = Image.fromarray(np.asarray(known)[at][:, at])
        fine = _render_picture(render, resolution, window)
        views.append((coarse, fine, resolution / panel))
    for steps in (64, 48, 32, 24, 16, 12):
        with contextlib.suppress(TooLarge):
            return gif_bytes([_zoom_frame(known, *view, steps, size) for view in views], most_bytes=MOST_BYTES)
    return gif_bytes([_zoom_frame(known, *view, 8, size) for view in views])


def _zoom_frame(
    whole: Image.Image, coarse: Image.Image, fine: Image.Image, magnification: float, steps: int, size: int
) -> Image.Image:
    """Draw one frame of `zoom`: the whole image above, the coarse and the fine window below, with captions."""
    whole, coarse, fine = (_with_fewer_levels(one, steps) for one in (whole, coarse, fine))
    sheet = Image.new("RGB", (size, size), (PAPER,) * 3)
    draw = ImageDraw.Draw(sheet)
    panel = coarse.width
    pad = (size - 2 * panel) // 3
    right, top = size - pad - panel, size - 20 - panel  # of the fine window; the captions are below
    side = min(panel, top - 2 * pad)  # of the whole image
    left = pad + (panel - side) // 2
    sheet.paste(whole.resize((side, side), Image.Resampling.NEAREST), (left, pad))
    half = side / magnification / 2
    x, y = left + side / 2, pad + side / 2
    window = [round(x - half), round(y - half), round(x + half) - 1, round(y + half) - 1]
    draw.rectangle([window[0] - 1, window[1] - 1, window[2] + 1, window[3] + 1], outline=(INK,) * 3)
    draw.rectangle(window, outline=(PAPER,) * 3)
    sheet.paste(coarse, (pad, top))
    sheet.paste(fine, (right, top))
    draw.text((right + panel / 2, y), f"{magnification:.1f}×", (INK,) * 3, font(size / 9), anchor="mm")
    face = font(size / 24)
    draw.text((pad + panel / 2, size - 10), f"{whole.width} × {whole.height} pixels", (INK,) * 3, face, anchor="mm")
    draw.text((right + panel / 2, size - 10), "continuous", (INK,) * 3, face, anchor="mm")
    return sheet


def _render_picture(render: Callable[..., Tensor], resolution: int, window: Window | None = None) -> Image.Image:
    """Render a continuous image, or a window of it, as a picture, and check its size."""
    image = render(resolution, window)
    expected = (resolution, resolution) if window is None else window[2:]
    if image.ndim != 3 or tuple(image.shape[1:]) != expected:
        raise ValueError(
            f"render({resolution}, {window}) must give (C, {expected[0]}, {expected[1]}), got {tuple(image.shape)}"
        )
    return picture(image)


def _with_fewer_levels(image: Image.Image, steps: int) -> Image.Image:
    """Reduce a picture to `steps` levels of grey or of each colour, with black and white exact; 64 levels save a third."""
    last = steps - 1
    return image.point([round(round(value * last / 255) * 255 / last) for value in range(256)] * len(image.getbands()))


def _epoch_frame(path: Path) -> Image.Image:
    """Draw one frame of `timelapse`: the picture of an epoch with its number below."""
    with Image.open(path) as opened:
        shown = _with_fewer_levels(
            narrowed(opened if opened.mode in ("L", "RGB") else opened.convert("RGB"), TIMELAPSE_WIDTH), 64
        )
    number = re.search(r"\d+", path.stem)
    text, face = (f"epoch {int(number.group())}" if number else path.stem), font(13)
    sheet = Image.new("RGB", (max(shown.width, 90), shown.height + 22), (PAPER,) * 3)
    sheet.paste(shown, ((sheet.width - shown.width) // 2, 0))
    ImageDraw.Draw(sheet).text((sheet.width / 2, shown.height + 11), text, (INK,) * 3, face, anchor="mm")
    return sheet


def _one_palette(frames: Sequence[Image.Image]) -> list[Image.Image]:
    """Convert frames to greys, or to indices into one palette for all frames."""
    colours = [frame.convert("RGB") for frame in frames]
    arrays = [np.asarray(frame) for frame in colours]
    if all((array[..., :1] == array).all() for array in arrays):
        return [Image.fromarray(np.ascontiguousarray(array[..., 0])) for array in arrays]
    every = Image.fromarray(np.concatenate([array[::2, ::2] for array in arrays]))  # a quarter of the pixels is enough
    palette = every.quantize(256, dither=Image.Dither.NONE)
    return [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in colours]
