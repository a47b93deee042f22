"""Moving pictures: frames → GIF, the epochs of a run as a time-lapse, and a zoom into a continuous image."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from genrun.figures.grid import INK, PAPER, font, narrowed, picture

Window = tuple[int, int, int, int]  # (top, left, height, width), pixels

NARROW = 480  # pixels: width of a time-lapse
MOST_BYTES = 300_000  # of a zoom


def gif_bytes(frames: Sequence[Image.Image], *, seconds: float = 4.0, hold_last: float = 1.0) -> bytes:
    """Frames of one size → a GIF that loops for ever: all frames in `seconds`, then the last one for `hold_last` more.

    Grey frames keep their 256 greys exactly; for colours one palette is chosen over all frames, without dithering
    (which would flicker). A frame that equals the one before it is stored as a longer showing of that one. A frame
    lasts at least 0.02 s, which is the shortest that browsers respect.

    Args:
        frames: at least one picture, of any mode.

    Raises:
        ValueError: no frames, frames of several sizes, or negative times.
    """
    if not frames:
        raise ValueError("a GIF needs at least one frame, got none")
    sizes = sorted({frame.size for frame in frames})
    if len(sizes) > 1:
        raise ValueError(f"frames of a GIF must have one size, got {', '.join(f'{w}×{h}' for w, h in sizes)}")
    if seconds < 0 or hold_last < 0:
        raise ValueError(f"times of a GIF must not be negative, got seconds {seconds} and hold_last {hold_last}")

    # whole hundredths of a second whose sum does not drift from `seconds`
    ends = [round(100 * seconds * k / len(frames)) for k in range(len(frames) + 1)]
    times = [max(2, end - start) for start, end in pairwise(ends)]
    times[-1] += round(100 * hold_last)

    first, *others = _one_palette(frames)
    file = io.BytesIO()
    first.save(
        file, "GIF", save_all=True, append_images=others, duration=[10 * time for time in times], loop=0, optimize=False
    )
    return file.getvalue()


def timelapse(paths: Sequence[Path], *, most: int = 60) -> bytes:
    """The epochs' PNGs, in the order given → a GIF, at most 480 pixels wide, with "epoch N" beneath each frame.

    N is the number in the file's name (epoch_0012.png); a name without one is written as it stands. More than `most`
    pictures are thinned evenly; the first and the last always stay.

    Raises:
        ValueError: no paths, `most` below 2, or pictures of several sizes.
        OSError: a file that is missing or no picture.
    """
    if not paths or most < 2:
        raise ValueError(f"a time-lapse needs at least one picture and most ≥ 2, got {len(paths)} and most {most}")
    if len(paths) > most:
        paths = [paths[round(k * (len(paths) - 1) / (most - 1))] for k in range(most)]
    return gif_bytes([_epoch(Path(path)) for path in paths])


def zoom(
    render: Callable[[int, Window | None], Tensor],
    *,
    smallest: int,
    factor: float = 10.0,
    frames: int = 40,
    size: int = 280,
) -> bytes:
    """A zoom into the centre of a continuous image, 1× … factor×: its training pixels beside the image itself.

    Above, the whole image with a frame around the window, and the magnification. Below, that window twice: at the left
    the pixels of `render(smallest)` enlarged by nearest neighbour, at the right the continuous image rendered anew,
    frame by frame, at the resolution that fills the panel: no pixel of it is resampled. The magnification grows by
    equal ratios. Greys are shown in 64 steps, or fewer where the GIF would be larger than 300 kB (8 are the fewest:
    then it may be larger).

    Args:
        render: (resolution r, window) → one image (C, r, r) in [0, 1], C = 1 or 3, or only its window (top, left, height, width)
            as (C, height, width); asked for r up to factor·size·3/7.
        smallest: the resolution of training, in pixels.
        factor: the last magnification, above 1.
        frames: their number, at least 2.
        size: width and height of the GIF in pixels, at least 160.

    Raises:
        ValueError: arguments outside these ranges, or a render of another shape.
    """
    if smallest < 1 or factor <= 1 or frames < 2 or size < 160:
        raise ValueError(
            "a zoom needs smallest ≥ 1, factor > 1, frames ≥ 2 and size ≥ 160, "
            f"got smallest {smallest}, factor {factor}, frames {frames}, size {size}"
        )
    panel = size * 3 // 7
    known = _rendered(render, smallest)
    views = []
    for k in range(frames):
        magnification = factor ** (k / (frames - 1))
        # of the panel's parity, so that the window lies in the middle to the pixel
        resolution = panel + 2 * round(panel * (magnification - 1) / 2)
        start = (resolution - panel) // 2
        window = (start, start, panel, panel)
        # the pixel of the small image under each pixel of the window
        at = ((np.arange(start, start + panel) + 0.5) * smallest / resolution).astype(int)
        coarse = Image.fromarray(np.asarray(known)[at][:, at])
        fine = _rendered(render, resolution, window)
        views.append((coarse, fine, resolution / panel))
    for steps in (64, 48, 32, 24, 16, 12, 8):
        moving = gif_bytes([_zoom_frame(known, *view, steps, size) for view in views])
        if len(moving) <= MOST_BYTES:
            break
    return moving


def _zoom_frame(
    whole: Image.Image, coarse: Image.Image, fine: Image.Image, magnification: float, steps: int, size: int
) -> Image.Image:
    whole, coarse, fine = (_stepped(one, steps) for one in (whole, coarse, fine))
    sheet = Image.new("RGB", (size, size), (PAPER,) * 3)
    draw = ImageDraw.Draw(sheet)
    panel = coarse.width
    pad = (size - 2 * panel) // 3
    right, top = size - pad - panel, size - 20 - panel  # of the two windows; captions beneath
    side = min(panel, top - 2 * pad)  # of the overview
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


def _rendered(render: Callable[..., Tensor], resolution: int, window: Window | None = None) -> Image.Image:
    image = render(resolution, window)
    expected = (resolution, resolution) if window is None else window[2:]
    if image.ndim != 3 or tuple(image.shape[1:]) != expected:
        raise ValueError(
            f"render({resolution}, {window}) must give (C, {expected[0]}, {expected[1]}), got {tuple(image.shape)}"
        )
    return picture(image)


def _stepped(image: Image.Image, steps: int) -> Image.Image:
    """In so many steps of grey or of each colour; black and white stay. A GIF of 64 steps is a third smaller."""
    last = steps - 1
    return image.point([round(round(value * last / 255) * 255 / last) for value in range(256)] * len(image.getbands()))


def _epoch(path: Path) -> Image.Image:
    with Image.open(path) as opened:
        shown = _stepped(narrowed(opened if opened.mode in ("L", "RGB") else opened.convert("RGB"), NARROW), 64)
    number = re.search(r"\d+", path.stem)
    text, face = (f"epoch {int(number.group())}" if number else path.stem), font(13)
    sheet = Image.new("RGB", (max(shown.width, 90), shown.height + 22), (PAPER,) * 3)
    sheet.paste(shown, ((sheet.width - shown.width) // 2, 0))
    ImageDraw.Draw(sheet).text((sheet.width / 2, shown.height + 11), text, (INK,) * 3, face, anchor="mm")
    return sheet


def _one_palette(frames: Sequence[Image.Image]) -> list[Image.Image]:
    """The frames as greys, or as indices into a palette that is chosen over all of them."""
    colours = [frame.convert("RGB") for frame in frames]
    arrays = [np.asarray(frame) for frame in colours]
    if all((array[..., :1] == array).all() for array in arrays):
        return [Image.fromarray(np.ascontiguousarray(array[..., 0])) for array in arrays]
    every = Image.fromarray(np.concatenate([array[::2, ::2] for array in arrays]))  # a quarter of the pixels choose it
    palette = every.quantize(256, dither=Image.Dither.NONE)
    return [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in colours]
