"""Pictures of images: grids whose pixels are enlarged but never interpolated, and panels side by side.

A grid of grey images is a grey picture (mode "L"), one of colour images is "RGB"; both are written as small PNGs. An
enlarged pixel is a square of equal pixels, so a picture shows what the model made and nothing that a resampling filter
added.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

LINE = 96  # grey of the lines between images and of cells without one: apart from black and from white
PAPER = 255
INK = 48
WIDTH, HEIGHT = 750, 1200  # pixels: a grid's width is aimed at, its height is a bound
LAYOUT = "genrun grid"  # under this key a grid's PNG says "W H scale gap"


def font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The typeface of grids and GIFs: DejaVu Sans as matplotlib ships it, so that grids and plots agree everywhere.

    Pillow's own font has no ×, ² or Greek letters; it steps in where matplotlib lies without its fonts. Matplotlib is
    looked up but not imported (that is slow).
    """
    found = find_spec("matplotlib")
    shipped = Path(found.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf" if found and found.origin else None
    return ImageFont.truetype(shipped, size) if shipped and shipped.is_file() else ImageFont.load_default(size)


def to_uint8(images: Tensor) -> np.ndarray:
    """(n, C, H, W), floats in [0, 1] or uint8, C = 1 or 3 → uint8 array (n, H, W, C).

    A float x becomes round(255 x), clamped to 0 … 255; uint8 passes unchanged.

    Raises:
        ValueError: other dimensions or channels, no pixels, a type that is neither float nor uint8, NaN or Inf.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape:
        raise ValueError(f"images must be (n, C, H, W) with n ≥ 1 and C = 1 or 3, got shape {tuple(images.shape)}")
    images = images.detach()
    if images.is_floating_point():
        images = images.float()
        if not torch.isfinite(images).all():
            raise ValueError("images must be finite numbers in [0, 1], got NaN or Inf")
        images = (images * 255).round().clamp(0, 255).to(torch.uint8)
    elif images.dtype != torch.uint8:
        raise ValueError(f"images must be floats in [0, 1] or uint8, got {images.dtype}")
    return images.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def picture(image: Tensor) -> Image.Image:
    """One image (C, H, W), floats in [0, 1] or uint8 → a picture of exactly its W × H pixels, "L" or "RGB".

    Raises:
        ValueError: as `to_uint8`.
    """
    if image.ndim != 3:
        raise ValueError(f"an image must be (C, H, W), got shape {tuple(image.shape)}")
    return _from_array(to_uint8(image[None])[0])


def magnified(image: Image.Image, height: int) -> Image.Image:
    """The picture at `height` pixels, by nearest neighbour and at its proportions: 28 pixels beside a render of 300.

    Where `height` is no multiple of the picture's, its squares differ in size by at most one pixel.

    Raises:
        ValueError: `height` below the picture's own (pixels would be lost).
    """
    if height < image.height:
        raise ValueError(f"height must be at least the picture's {image.height} pixels, got {height}")
    return image.resize((round(image.width * height / image.height), height), Image.Resampling.NEAREST)


def image_grid(
    images: Tensor, columns: int, *, scale: int | None = None, gap: int = 1, row_names: Sequence[str] | None = None
) -> Image.Image:
    """Images in rows, filled from left to right, with lines between and around them.

    Image k has its top left pixel at x = gap + (k mod columns)·(scale·W + gap) and y = gap + ⌊k / columns⌋·(scale·H +
    gap), to the right of the row names where there are any. Fewer images than `columns` make one shorter row.

    Args:
        images: (n, C, H, W), floats in [0, 1] or uint8, C = 1 or 3.
        columns: images in a row.
        scale: a pixel of an image becomes scale × scale pixels. None: the grid is 600 to 900 pixels wide where a whole
            number does that, and smaller where it would be taller than 1200 pixels.
        gap: width of the lines in pixels of the picture.
        row_names: one name per row, written at its left.

    Raises:
        ValueError: as `to_uint8`; columns or scale below 1, gap below 0, or another number of names than rows.
    """
    if columns < 1 or gap < 0 or (scale is not None and scale < 1):
        raise ValueError(
            f"a grid needs columns ≥ 1, gap ≥ 0 and scale ≥ 1, got columns {columns}, gap {gap}, scale {scale}"
        )
    pixels = to_uint8(images)  # (n, H, W, C)
    n, height, width, channels = pixels.shape
    columns = min(columns, n)
    rows = -(-n // columns)
    if row_names is not None and len(row_names) != rows:
        raise ValueError(f"row_names must name each of the {rows} rows, got {len(row_names)} names")
    if scale is None:
        scale = max(1, min(round(WIDTH / (columns * width)), HEIGHT // (rows * height)))

    pixels = pixels.repeat(scale, axis=1).repeat(scale, axis=2)
    down, across = scale * height + gap, scale * width + gap  # from one image to the next
    grid = np.full((gap + rows * down, gap + columns * across, channels), LINE, dtype=np.uint8)
    for k in range(n):
        y, x = gap + k // columns * down, gap + k % columns * across
        grid[y : y + scale * height, x : x + scale * width] = pixels[k]
    drawn = _from_array(grid)
    if row_names is not None:
        return _with_names(drawn, row_names, gap, down)
    drawn.info[LAYOUT] = f"{width} {height} {scale} {gap}"
    return drawn


def narrowed(grid: Image.Image, width: int) -> Image.Image:
    """A grid at most `width` pixels wide.

    Where the picture says how it was laid out (as `image_grid` notes and `png_bytes` keeps) this is the same grid at a
    smaller scale, so its pixels stay exact; otherwise, and where scale 1 is still too wide, each pixel becomes the mean
    of those it covers.
    """
    if grid.width <= width:
        return grid
    if LAYOUT in grid.info:
        w, h, scale, gap = map(int, grid.info[LAYOUT].split())
        columns, spare = divmod(grid.width - gap, scale * w + gap)
        rows, over = divmod(grid.height - gap, scale * h + gap)
        smaller = ((width - gap) // max(1, columns) - gap) // w
        if smaller >= 1 and spare == over == 0:  # else Pillow copied the note to a crop or an enlargement
            ys, xs = _places(rows, h, scale, gap, smaller), _places(columns, w, scale, gap, smaller)
            return Image.fromarray(np.ascontiguousarray(np.asarray(grid)[ys][:, xs]))
    return grid.resize((width, round(grid.height * width / grid.width)), Image.Resampling.BOX)


def beside(pictures: Sequence[Image.Image], captions: Sequence[str]) -> Image.Image:
    """Pictures side by side on white, each centred over its caption, lower edges on one line; none is resized.

    A caption wider than its picture is broken between words (and at its own line breaks).

    Raises:
        ValueError: no picture, or another number of captions than pictures.
    """
    if not pictures or len(pictures) != len(captions):
        raise ValueError(
            f"beside expects one caption per picture, got {len(pictures)} pictures and {len(captions)} captions"
        )
    margin, line = 14, 17
    face = font(13)
    shown = [one if one.mode == "L" else one.convert("RGB") for one in pictures]
    texts = [_broken(caption, max(one.width, 110), face) for one, caption in zip(shown, captions, strict=True)]
    widths = [
        max([one.width, *(int(face.getlength(part)) + 1 for part in text)])
        for one, text in zip(shown, texts, strict=True)
    ]
    tallest = max(one.height for one in shown)
    below = max(len(text) for text in texts) * line
    mode = "L" if all(one.mode == "L" for one in shown) else "RGB"
    size = (sum(widths) + margin * (len(shown) + 1), margin + tallest + 7 + below + margin // 2)
    sheet = Image.new(mode, size, _grey(mode, PAPER))
    draw = ImageDraw.Draw(sheet)
    left = margin
    for one, text, width in zip(shown, texts, widths, strict=True):
        sheet.paste(one, (left + (width - one.width) // 2, margin + tallest - one.height))
        for k, part in enumerate(text):
            draw.text((left + width / 2, margin + tallest + 7 + k * line), part, _grey(mode, INK), face, anchor="ma")
        left += width + margin
    return sheet


def png_bytes(image: Image.Image) -> bytes:
    """The picture ("L" or "RGB") as a PNG, compressed as far as Pillow can; equal pictures give equal bytes."""
    buffer, notes = io.BytesIO(), PngInfo()
    if LAYOUT in image.info:
        notes.add_text(LAYOUT, image.info[LAYOUT])
    bare = Image.frombytes(image.mode, image.size, image.tobytes())  # without whatever else the picture's file said
    bare.save(buffer, "PNG", optimize=True, pnginfo=notes)
    return buffer.getvalue()


def _from_array(pixels: np.ndarray) -> Image.Image:
    """(H, W, C) uint8 → "L" or "RGB"."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def _places(count: int, length: int, scale: int, gap: int, smaller: int) -> np.ndarray:
    """Along one axis of a grid at `scale`: where the pixels of the grid at scale `smaller` are found."""
    line = np.arange(gap)
    cell = np.concatenate([line, gap + scale * np.arange(length).repeat(smaller)])
    starts = (scale * length + gap) * np.arange(count)
    return np.concatenate([(starts[:, None] + cell).ravel(), line])


def _grey(mode: str, value: int) -> int | tuple[int, int, int]:
    return value if mode == "L" else (value, value, value)


def _with_names(grid: Image.Image, names: Sequence[str], gap: int, down: int) -> Image.Image:
    face = font(min(14, max(8, down - gap)))
    margin = 8 + int(max(face.getlength(name) for name in names)) + 8
    sheet = Image.new(grid.mode, (margin + grid.width, grid.height), _grey(grid.mode, PAPER))
    sheet.paste(grid, (margin, 0))
    draw = ImageDraw.Draw(sheet)
    for row, name in enumerate(names):
        draw.text((margin - 8, gap + row * down + (down - gap) / 2), name, _grey(grid.mode, INK), face, anchor="rm")
    return sheet


def _broken(text: str, width: float, face: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    """The text in lines of at most `width` pixels; a single longer word keeps a line for itself."""
    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and face.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines
