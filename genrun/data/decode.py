"""Read image files: their headers, which needs no torch, and their pixels as every viewer shows them."""

from __future__ import annotations

import hashlib
import struct
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from genrun.data.words import plural, shown
from genrun.errors import Refused

if TYPE_CHECKING:
    from torch import Tensor

GREY_MODES = ("1", "L", "LA")
DEEP_MODES = ("I", "F")  # Pillow's modes with more than eight bits per channel begin with these
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)  # what Pillow raises on a broken file
ORIENTATION = 0x0112  # EXIF's tag: how a camera was held
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ON_THEIR_SIDE = (5, 6, 7, 8)  # orientations in which height and width change places
# Pillow decodes a whole PNG to find its EXIF, which few have; one of these is in its bytes if it has
PNG_EXIF = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")
ONE_SIZE = "data.resize=64 (or another side) brings all images to one size"
warnings.filterwarnings("ignore", "Corrupt EXIF data", UserWarning)  # of no use to the reader, and once for each file


class Header(NamedTuple):
    """Facts of an image file that are known before training."""

    height: int
    width: int
    grey: bool
    sha256: str  # of the file; with the way it is read, if that is not plain
    turned: bool = False  # as its EXIF orientation says
    see_through: bool = False  # it has transparent pixels
    animated: bool = False


def read_headers(files: Sequence[Path]) -> list[Header]:
    """Read the headers of image files; threads share the work.

    Raises:
        Refused: a file is missing, is no image, or has more than eight bits a channel.
    """
    with ThreadPoolExecutor() as pool:
        return list(pool.map(_header, files))


def _header(path: Path) -> Header:
    try:
        content = path.read_bytes()
        with Image.open(BytesIO(content)) as image:
            (width, height), mode = image.size, image.mode
            if mode.startswith(DEEP_MODES):
                raise Refused(
                    f"{shown(path)} has more than eight bits a channel (mode {mode}): expected eight; convert it"
                )
            has_exif = image.format != "PNG" or any(mark in content for mark in PNG_EXIF)
            orientation = _orientation(image) if has_exif else 1
            animated = image.format in ("PNG", "WEBP") and bool(getattr(image, "is_animated", False))
            see_through = _transparent(image) is not None
    except UNREADABLE as error:
        raise _unreadable(path, error) from None
    if orientation in ON_THEIR_SIDE:
        height, width = width, height
    turned = orientation in UPRIGHT
    # an image that earlier versions read otherwise gets another digest, so that a run on it gets another id
    digest = hashlib.sha256(content).hexdigest() + " turned" * turned + " on white" * see_through
    return Header(height, width, mode in GREY_MODES, digest, turned, see_through, animated)


def read_image(path: Path, channels: int, crop: int | None = None) -> Tensor:
    """Return an image file as (C, H, W) uint8, grey or colour, turned as its EXIF says and without transparency, on white.

    Args:
        crop: side of the centred square that is cut out; None: the whole image.

    Raises:
        Refused: the file cannot be read, or is smaller than `crop`.
    """
    import numpy as np
    import torch

    try:
        with Image.open(path) as image:
            shape = _transparent(image)
            orientation = _orientation(image)
            if shape is not None:
                whole = Image.new("RGBA", shape.size, "white")
                whole.alpha_composite(shape)
                whole = whole.convert("RGB")
            else:
                whole = image
            if orientation in UPRIGHT:
                whole = whole.transpose(UPRIGHT[orientation])
            array = np.array(whole.convert("L" if channels == 1 else "RGB"))
    except UNREADABLE as error:
        raise _unreadable(path, error) from None
    pixels = torch.from_numpy(array)
    pixels = pixels.unsqueeze(0) if channels == 1 else pixels.permute(2, 0, 1).contiguous()  # (H, W[, 3]) → (C, H, W)
    if crop is None:
        return pixels
    if crop > min(pixels.shape[1:]):
        size = f"{pixels.shape[1]}×{pixels.shape[2]}"
        raise Refused(
            f"{shown(path)} is {size} (H×W), smaller than data.source.crop={crop}: choose a smaller crop, or null"
        )
    from torchvision.transforms.v2.functional import center_crop

    return center_crop(pixels, [crop, crop])


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 … 8; 1 is upright, and viewers take EXIF that is damaged for that."""
    try:
        return image.getexif().get(ORIENTATION, 1)
    except (*UNREADABLE, struct.error, KeyError, TypeError, EOFError):
        return 1


def _transparent(image: Image.Image) -> Image.Image | None:
    """Return the image as RGBA if a pixel of it is transparent; None if it is opaque."""
    if not image.has_transparency_data:
        return None
    shape = image.convert("RGBA")
    least, most = shape.getchannel("A").getextrema()
    unused = most == 0 and image.format == "BMP"  # programs that fill the fourth byte of a BMP with nothing
    return None if least == 255 or unused else shape


def how_read(headers: Sequence[Header], channels: int) -> list[str]:
    """Return in words what is not plain about how these images are read."""
    notes = []
    if count := sum(header.turned for header in headers):
        notes.append(f"{plural(count, 'image')} turned as EXIF says")
    if count := sum(header.see_through for header in headers):
        notes.append(f"{plural(count, 'image')} with transparency laid on white")
    if count := sum(header.animated for header in headers):
        notes.append(f"{plural(count, 'animation')} read as the first picture")
    colour = sum(not header.grey for header in headers)
    if channels == 1 and colour:
        notes.append(f"{plural(colour, 'colour image')} made grey")
    elif channels == 3 and 0 < colour < len(headers) / 2:
        notes.append(f"only {colour:,} of {len(headers):,} are in colour, so all have three channels")
    return notes


def extent_of(files: Sequence[Path], headers: Sequence[Header]) -> tuple[int, int] | str:
    """Return (H, W) if it is the same for all files, else a sentence that names the first file that differs."""
    first = headers[0]
    for file, header in zip(files, headers, strict=True):
        if header[:2] != first[:2]:
            return (
                f"the images differ in size: {shown(files[0])} is {first.height}×{first.width} (H×W), "
                f"{shown(file)} {header.height}×{header.width}"
            )
    return first.height, first.width


def _unreadable(path: Path, error: BaseException) -> Refused:
    reason = "it is missing" if isinstance(error, FileNotFoundError) else " ".join(str(error).split())
    # Pillow's name for the bytes tells the user nothing
    reason = reason.replace("<_io.BytesIO object at ", "<").split(" <")[0]
    return Refused(f"{shown(path)} is not a readable image ({reason}): replace it or take it out of the folder")
