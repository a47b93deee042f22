"""Grids of images, and pictures side by side. Pixels are enlarged but never interpolated.

A grid of grey images is a grey picture (mode "L"), a grid of colour images is "RGB". Both are written as small PNGs. An
enlarged pixel is a square of equal pixels, so a picture shows only what the model made, without effects of a resampling
filter.
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

LINE = 96  # grey of the lines between images and of empty cells: neither black nor white
PAPER = 255
INK = 48
WIDTH, HEIGHT = 750, 1200  # pixels: approximate width and largest height of a grid
COMPRESSION = 6  # of PNGs, 0 … 9: level 9 takes eight times as long, and the files are a twentieth smaller
LAYOUT = "genrun grid"  # key in a grid's PNG, whose value is "W H scale gap"


def font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font of grids and GIFs: matplotlib's DejaVu Sans, so that grids and plots look the same on every machine.

    If matplotlib's fonts are missing, Pillow's own font is used, which has no ×, ² or Greek letters. Matplotlib is located
    but not imported, because the import is slow.
    """
    found = find_spec("matplotlib")
    shipped = Path(found.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf" if found and found.origin else None
    return ImageFont.truetype(shipped, size) if shipped and shipped.is_file() else ImageFont.load_default(size)


def to_uint8(images: Tensor) -> np.ndarray:
    """Convert images (n, C, H, W), floats in [0, 1] or uint8, C = 1 or 3, to a uint8 array (n, H, W, C).

    A float x becomes round(255 x), clamped to 0 … 255. uint8 values do not change.

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
    """Convert an image (C, H, W), floats in [0, 1] or uint8, to a picture of exactly W × H pixels, "L" or "RGB".

    Raises:
        ValueError: as in `to_uint8`.
    """
    if image.ndim != 3:
        raise ValueError(f"an image must be (C, H, W), got shape {tuple(image.shape)}")
    return _from_array(to_uint8(image[None])[0])


def magnified(image: Image.Image, height: int) -> Image.Image:
    """Enlarge a picture to `height` pixels by nearest neighbour, with the same proportions.

    It makes an image of 28 pixels as large as one rendered at 300 pixels, for example. If `height` is not a multiple of the
    picture's height, the squares differ in size by at most one pixel.

    Raises:
        ValueError: `height` is below the picture's height, so pixels would be lost.
    """
    if height < image.height:
        raise ValueError(f"height must be at least the picture's {image.height} pixels, got {height}")
    return image.resize((round(image.width * height / image.height), height), Image.Resampling.NEAREST)


def image_grid(
    images: Tensor, columns: int, *, scale: int | None = None, gap: int = 1, row_names: Sequence[str] | None = None
) -> Image.Image:
    """Draw images in rows, filled from left to right, with lines between and around them.

    Image k has its top left pixel at x = gap + (k mod columns)·(scale·W + gap) and y = gap + ⌊k / columns⌋·(scale·H +
    gap), to the right of the row names if there are any. Fewer images than `columns` make one shorter row.

    Args:
        images: (n, C, H, W), floats in [0, 1] or uint8, C = 1 or 3.
        columns: images in a row.
        scale: a pixel of an image becomes scale × scale pixels. None: the scale for which the grid is 600 to 900 pixels
            wide, if there is one, and smaller if the grid would be taller than 1200 pixels.
        gap: width of the lines in pixels of the picture.
        row_names: one name per row, written at its left.

    Raises:
        ValueError: as in `to_uint8`; columns or scale below 1, gap below 0, or a wrong number of names.
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
    drawn.info[LAYOUT] = f"{width} {height} {scale} {gap}"
    return drawn if row_names is None else with_row_names(drawn, row_names)


def narrowed(grid: Image.Image, width: int) -> Image.Image:
    """Reduce a grid to at most `width` pixels in width.

    If the picture stores its layout (`image_grid` adds it, `png_bytes` writes it), the grid is drawn at a smaller scale, so
    its pixels stay exact. Without a layout, or if scale 1 is still too wide, each pixel becomes the mean of the pixels it
    covers.
    """
    if grid.width <= width:
        return grid
    if LAYOUT in grid.info:
        w, h, scale, gap = map(int, grid.info[LAYOUT].split())
        columns, spare = divmod(grid.width - gap, scale * w + gap)
        rows, over = divmod(grid.height - gap, scale * h + gap)
        smaller = ((width - gap) // max(1, columns) - gap) // w
        if smaller >= 1 and spare == over == 0:  # otherwise Pillow copied the layout to a cropped or enlarged picture
            ys, xs = _pixel_positions(rows, h, scale, gap, smaller), _pixel_positions(columns, w, scale, gap, smaller)
            return Image.fromarray(np.ascontiguousarray(np.asarray(grid)[ys][:, xs]))
    return grid.resize((width, round(grid.height * width / grid.width)), Image.Resampling.BOX)


def beside(pictures: Sequence[Image.Image], captions: Sequence[str]) -> Image.Image:
    """Put pictures side by side on white, each centred over its caption, with their lower edges aligned; none is resized.

    A caption wider than its picture is wrapped between words. Its own line breaks are kept.

    Raises:
        ValueError: no picture, or the number of captions is not the number of pictures.
    """
    if not pictures or len(pictures) != len(captions):
        raise ValueError(
            f"beside expects one caption per picture, got {len(pictures)} pictures and {len(captions)} captions"
        )
    margin, line = 14, 17
    face = font(13)
    shown = [one if one.mode == "L" else one.convert("RGB") for one in pictures]
    texts = [_wrapped(caption, max(one.width, 110), face) for one, caption in zip(shown, captions, strict=True)]
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
    """Encode a picture ("L" or "RGB") as a PNG; equal pictures give equal bytes."""
    buffer, notes = io.BytesIO(), PngInfo()
    if LAYOUT in image.info:
        notes.add_text(LAYOUT, image.info[LAYOUT])
    bare = Image.frombytes(image.mode, image.size, image.tobytes())  # without other metadata of the picture's file
    bare.save(buffer, "PNG", compress_level=COMPRESSION, pnginfo=notes)
    return buffer.getvalue()


def _from_array(pixels: np.ndarray) -> Image.Image:
    """Make a picture, "L" or "RGB", of uint8 pixels (H, W, C)."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def _pixel_positions(count: int, length: int, scale: int, gap: int, smaller: int) -> np.ndarray:
    """Return, for one axis, the pixel positions in a grid at `scale` that make the grid at scale `smaller`."""
    line = np.arange(gap)
    cell = np.concatenate([line, gap + scale * np.arange(length).repeat(smaller)])
    starts = (scale * length + gap) * np.arange(count)
    return np.concatenate([(starts[:, None] + cell).ravel(), line])


def _grey(mode: str, value: int) -> int | tuple[int, int, int]:
    """Return a grey value as a colour of the picture's mode, "L" or "RGB"."""
    return value if mode == "L" else (value, value, value)


def with_row_names(grid: Image.Image, names: Sequence[str]) -> Image.Image:
    """Write a name to the left of each row of a grid that stores its layout."""
    _, height, scale, gap = map(int, grid.info[LAYOUT].split())
    down = scale * height + gap
    face = font(min(14, max(8, down - gap)))
    margin = 8 + int(max(face.getlength(name) for name in names)) + 8
    sheet = Image.new(grid.mode, (margin + grid.width, grid.height), _grey(grid.mode, PAPER))
    sheet.paste(grid, (margin, 0))
    draw = ImageDraw.Draw(sheet)
    for row, name in enumerate(names):
        draw.text((margin - 8, gap + row * down + (down - gap) / 2), name, _grey(grid.mode, INK), face, anchor="rm")
    return sheet


def _wrapped(text: str, width: float, face: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    """Wrap text into lines of at most `width` pixels; a longer word has a line of its own."""
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
