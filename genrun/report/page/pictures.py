"""Pictures for a page: files of a run folder as data URIs, re-encoded as small WebP pictures that stay crisp."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from genrun.errors import Refused
from genrun.system import files

LARGEST_FILE = 2**26  # bytes
MOST_PIXELS = 2**25  # of all frames together; a small file may hold more than memory does
LAYOUT = "genrun grid"  # in a grid's PNG, "W H scale gap"; genrun.figures.grid writes it, but imports torch
TYPES = {"PNG": "image/png", "GIF": "image/gif"}
# How a picture is made smaller, the best first: its longest side, quality (100: exact), and for a grid also the scale of its images
FRAMES = (
    ("grid", 100),
    ("grid of true pixels", 100),
    ("grid of true pixels", 85),
    ("grid of true pixels", 60),
    ("half", 50),
)
# the same for a figure, which is exact where that takes few bytes, for its letters
FIGURES = ((1600, 85, 40_000), (800, 50, 4_000))
FILM_QUALITY = 60
LONGEST = 16_383  # pixels of a WebP picture
THUMBNAIL_IMAGES = 4  # in a row


@dataclass(frozen=True)
class Picture:
    """A picture in a page.

    Args:
        uri: the picture as a data URI.
        width, height: in pixels.
        still: the first frame of a film, for readers who want no motion; empty for a still picture.
    """

    uri: str
    width: int
    height: int
    still: str = ""


def inside(folder: Path, file: Path) -> Path:
    """Return the true path of a file of a run.

    Raises:
        Refused: a link leads out of the run folder.
    """
    try:
        return files.inside(file, folder)
    except OSError:
        raise Refused(f"{file} is a link out of the run folder") from None


def read_picture(folder: Path, file: Path) -> tuple[bytes, Image.Image]:
    """Return the content of a picture of a run, and the picture, of which no pixel is read yet.

    Raises:
        Refused: it is no PNG or GIF, is too large, or lies outside of the run folder.
    """
    try:
        content = files.read_regular(inside(folder, file), LARGEST_FILE)
        image = Image.open(io.BytesIO(content), formats=list(TYPES))
        pixels = image.width * image.height * getattr(image, "n_frames", 1)
    except Image.DecompressionBombError:
        raise Refused(f"{file}: more pixels than a picture may have ({MOST_PIXELS:,})") from None
    except (OSError, SyntaxError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no PNG or GIF"
        raise Refused(f"{file}: {reason}") from None
    if pixels > MOST_PIXELS:
        raise Refused(f"{file}: {pixels:,} pixels, expected at most {MOST_PIXELS:,}")
    return content, image


def exact(folder: Path, file: Path) -> Picture:
    """Return a picture as its file holds it.

    Raises:
        Refused: as in `read_picture`, or the file is damaged.
    """
    content, image = read_picture(folder, file)
    frames = loaded(file, image)
    still = webp(frames[0], 100) if len(frames) > 1 else b""
    return Picture(data_uri(content, TYPES[image.format or "PNG"]), *image.size, data_uri(still) if still else "")


def loaded(file: Path, image: Image.Image) -> list[Image.Image]:
    """Return the frames of a picture.

    Raises:
        Refused: the file is damaged.
    """
    try:
        return [frame.copy() for frame in ImageSequence.Iterator(image)]
    except (OSError, SyntaxError, ValueError, IndexError) as error:
        raise Refused(f"{file} is damaged ({error})") from None


def grid_picture(folder: Path, file: Path) -> tuple[Picture, bool]:
    """Return a grid of images with exact pixels, and whether its rows have names at their left."""
    _, image = read_picture(folder, file)
    (frame, *_) = loaded(file, image)
    return Picture(data_uri(webp(frame, 100)), *frame.size), layout_of(frame) is None


def thumbnail(folder: Path, file: Path) -> Picture:
    """Return the first images of a grid as a small square."""
    _, image = read_picture(folder, file)
    (frame, *_) = loaded(file, image)
    if layout := layout_of(frame):
        width, height, scale, gap = layout
        most = min(
            THUMBNAIL_IMAGES,
            (frame.width - gap) // (scale * width + gap),
            (frame.height - gap) // (scale * height + gap),
        )
        frame = frame.crop((0, 0, gap + most * (scale * width + gap), gap + most * (scale * height + gap)))
    else:
        side = -(-min(frame.size) // 2)
        frame = frame.crop((frame.width - side, 0, frame.width, side))  # row names stand at the left
    return Picture(data_uri(webp(fitted(frame, 160), 80)), *frame.size)


def frame_pictures(folder: Path, files: Sequence[Path], budget: int) -> tuple[list[tuple[Path, Picture]], list[str]]:
    """Return the grids of epochs, all encoded alike: as well as the budget of bytes allows.

    If they do not fit when they are as small as can be, some of them are left out evenly.

    Returns:
        The file and the picture of each, and a line for each file that is left out because it is no picture.
    """
    broken: dict[Path, str] = {}
    encoded: list[tuple[Path, bytes, tuple[int, int]]] = []  # the last one first: it is always kept
    for form in FRAMES:
        encoded, left = [], budget
        for file in reversed(files):
            if file in broken:
                continue
            try:
                grid = loaded(file, read_picture(folder, file)[1])[0]
            except Refused as error:
                broken[file] = str(error)
                continue
            encoded.append((file, frame_bytes(grid, *form), grid.size))
            left -= len(encoded[-1][1])
            if left < 0 and form != FRAMES[-1]:
                break
        if left >= 0:
            break
    sizes = [len(content) for _, content, _ in encoded]
    every = next((every for every in range(1, len(sizes)) if sum(sizes[::every]) <= budget), max(1, len(sizes)))
    kept = [(file, Picture(data_uri(content), *size)) for file, content, size in encoded[::every]]
    return kept[::-1], [broken[file] for file in files if file in broken]


def frame_bytes(grid: Image.Image, form: str, quality: int) -> bytes:
    """Encode the grid of an epoch in one of the forms of `FRAMES`."""
    if form != "grid":
        grid = true_pixels(grid)
    if form == "half":
        grid = fitted(grid, max(grid.size) // 2)
    return webp(grid, quality)


def figure_pictures(folder: Path, files: Sequence[Path], budget: int) -> tuple[dict[Path, Picture], list[str]]:
    """Return figures, encoded as well as the budget of bytes allows, and a line for each file that is no picture."""
    found: dict[Path, Picture] = {}
    broken: dict[Path, str] = {}
    for form in FIGURES:
        for file in files:
            if file not in broken:
                try:
                    found[file] = figure_picture(folder, file, *form)
                except Refused as error:
                    broken[file] = str(error)
        if sum(len(one.uri) + len(one.still) for one in found.values()) * 3 // 4 <= budget:
            break
    return found, list(broken.values())


def figure_picture(folder: Path, file: Path, side: int, quality: int, exact_bytes: int) -> Picture:
    """Return a figure in one of the forms of `FIGURES`; a film is never exact."""
    _, image = read_picture(folder, file)
    time = int(image.info.get("duration", 100)) or 100
    frames, size = [fitted(frame, side) for frame in loaded(file, image)], image.size
    still = webp(frames[0], 100)
    if len(still) > exact_bytes:
        still = min(still, webp(frames[0], quality), key=len)
    first = data_uri(still)
    if len(frames) == 1:
        return Picture(first, *size)
    buffer = io.BytesIO()
    first_frame, *others = [frame.convert("RGB") for frame in frames]
    options = {"duration": time, "loop": 0, "quality": min(quality, FILM_QUALITY), "method": 2}
    first_frame.save(buffer, "WEBP", save_all=True, append_images=others, **options)
    return Picture(data_uri(buffer.getvalue()), *size, first)


def webp(image: Image.Image, quality: int) -> bytes:
    """Encode a picture; quality 100 keeps every pixel."""
    buffer = io.BytesIO()
    image = fitted(image.convert("RGBA" if "transparency" in image.info else "RGB"), LONGEST)
    bare = Image.frombytes(image.mode, image.size, image.tobytes())  # without the metadata of the file
    if quality == 100:
        bare.save(buffer, "WEBP", lossless=True, quality=40, method=2)
    else:
        bare.save(buffer, "WEBP", quality=quality, method=4)
    return buffer.getvalue()


def fitted(image: Image.Image, side: int) -> Image.Image:
    """Make a picture smaller if its longest side is longer than this."""
    longest = max(image.size)
    if longest <= side:
        return image
    size = (max(1, round(image.width * side / longest)), max(1, round(image.height * side / longest)))
    return (image if image.mode == "RGBA" else image.convert("RGB")).resize(size, Image.Resampling.LANCZOS)


def layout_of(grid: Image.Image) -> tuple[int, int, int, int] | None:
    """Return width and height of an image, scale and gap of a grid, if the picture says them and they fit it."""
    said = re.fullmatch(r"(\d{1,5}) (\d{1,5}) (\d{1,5}) (\d{1,5})", str(grid.info.get(LAYOUT, "")))
    width, height, scale, gap = map(int, said.groups()) if said else (0, 0, 0, 0)
    if not width * height * scale:
        return None
    fits = (
        grid.width > gap
        and (grid.width - gap) % (scale * width + gap) == (grid.height - gap) % (scale * height + gap) == 0
    )
    return (width, height, scale, gap) if fits else None


def true_pixels(grid: Image.Image) -> Image.Image:
    """Return a grid at scale 1, in which a pixel of an image is one pixel of the picture; without a layout it stays as it is."""
    layout = layout_of(grid)
    if layout is None:
        return grid
    width, height, scale, gap = layout
    down, across = (
        np.concatenate([np.arange(gap), gap + scale * np.arange(side)]) for side in (height, width)
    )  # the places of a gap and of the pixels after it
    rows, columns = (
        np.append(step * np.arange((length - gap) // step)[:, None] + cell, length - gap + np.arange(gap))
        for step, length, cell in (
            (scale * height + gap, grid.height, down),
            (scale * width + gap, grid.width, across),
        )
    )
    return Image.fromarray(np.ascontiguousarray(np.asarray(grid)[rows][:, columns]))


def data_uri(content: bytes, kind: str = "image/webp") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
