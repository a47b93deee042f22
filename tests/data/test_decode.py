"""Image files as programs and cameras write them: their pixels are those that viewers show."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from data_files import pixels, refusal
from PIL import Image, ImageOps

from genrun.data.decode import how_read, read_headers, read_image
from genrun.data.folders import image_folder
from genrun.data.module import ImageData

RED, BLUE = (255, 0, 0), (0, 0, 255)


def two_halves() -> Image.Image:
    """8×16 (H×W): the left half red, the right half blue."""
    array = np.full((8, 16, 3), RED, np.uint8)
    array[:, 8:] = BLUE
    return Image.fromarray(array)


def notes(folder) -> str:
    return ImageData(lambda: image_folder(str(folder)), 2).summary()


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(10))
def test_images_stand_as_exif_says(orientation, ending, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / f"0.{ending}"
    options = {"quality": 100} if ending == "jpg" else {"lossless": True} if ending == "webp" else {}
    two_halves().save(file, exif=exif, **options)
    with Image.open(file) as image:
        expected = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    read = read_image(file, 3).permute(1, 2, 0).numpy()
    (header,) = read_headers([file])
    assert np.array_equal(read, expected) and read.shape[:2] == (header.height, header.width)
    assert header.turned == (2 <= orientation <= 8) and (" turned" in header.sha256) == header.turned


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_is_taken_for_none(tmp_path):
    for number, exif in enumerate(
        (b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\0\x05")
    ):
        two_halves().save(tmp_path / f"{number}.jpg", exif=exif)
        assert read_image(tmp_path / f"{number}.jpg", 3).shape == (3, 8, 16)
    assert not any(header.turned for header in read_headers(sorted(tmp_path.iterdir())))


def test_turned_images_are_said_and_cropped_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in range(4):
        two_halves().save(tmp_path / f"{number}.png", exif=exif)
    source = image_folder(str(tmp_path))
    assert source.train.shape == (3, 16, 8) and "4 images turned as EXIF says" in notes(tmp_path)
    for number in range(4):
        two_halves().save(tmp_path / f"{number}.png")
    assert image_folder(str(tmp_path)).checksum != source.checksum


# -------------------------------------------------------------------------------------------------------- transparency


def see_through(mode: str) -> Image.Image:
    """4×4: the left half opaque black, the right half transparent, with a hidden colour."""
    array = np.zeros((4, 4, 4), np.uint8)
    array[:, :2] = (0, 0, 0, 255)
    array[:, 2:] = (90, 90, 90, 0)
    image = Image.fromarray(array)
    if mode == "P":
        paletted = Image.fromarray(np.repeat([[0, 0, 1, 1]], 4, 0).astype(np.uint8), "P")
        paletted.putpalette([0, 0, 0, 90, 90, 90])
        paletted.info["transparency"] = 1
        return paletted
    if mode in ("RGB", "L"):
        plain = image.convert(mode)
        plain.info["transparency"] = (90, 90, 90) if mode == "RGB" else 90
        return plain
    return image.convert(mode)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB", "L"])
def test_transparent_pixels_lie_on_white(mode, channels, tmp_path):
    see_through(mode).save(tmp_path / "0.png")
    read = read_image(tmp_path / "0.png", channels)
    assert read.shape == (channels, 4, 4) and (read[:, :, :2] == 0).all() and (read[:, :, 2:] == 255).all()
    (header,) = read_headers([tmp_path / "0.png"])
    assert header.see_through and header.grey == (mode in ("LA", "L"))
    assert how_read([header, header], 3)[0] == "2 images with transparency laid on white"


def test_half_transparent_pixels_are_mixed_with_white(tmp_path):
    Image.new("RGBA", (2, 2), (0, 100, 200, 51)).save(tmp_path / "0.webp", lossless=True)
    assert read_image(tmp_path / "0.webp", 3)[:, 0, 0].tolist() == [204, 224, 244]


@pytest.mark.parametrize("ending", ["png", "webp"])
def test_opaque_alpha_changes_nothing(ending, tmp_path):
    two_halves().convert("RGBA").save(tmp_path / f"0.{ending}", lossless=True)
    (header,) = read_headers([tmp_path / f"0.{ending}"])
    assert not header.see_through and len(header.sha256) == 64
    assert np.array_equal(read_image(tmp_path / f"0.{ending}", 3).permute(1, 2, 0).numpy(), np.array(two_halves()))


def test_the_fourth_byte_of_a_bmp_may_be_unused(tmp_path):
    unused = two_halves().convert("RGBA")
    unused.putalpha(0)
    unused.save(tmp_path / "0.bmp")
    assert read_image(tmp_path / "0.bmp", 3)[:, 0, 0].tolist() == [255, 0, 0]


# -------------------------------------------------------------------------------------------------------- other kinds


@pytest.mark.parametrize("ending", ["webp", "png"])
def test_of_an_animation_the_first_picture_is_read_and_this_said(ending, tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, BLUE)]
    for number in range(3):
        frames[0].save(tmp_path / f"{number}.{ending}", save_all=True, append_images=frames[1:], lossless=True)
    assert pixels(image_folder(str(tmp_path)).train)[0, :, 0, 0].tolist() == [255, 0, 0]
    assert "3 animations read as the first picture" in notes(tmp_path)


def png(path, depth: int, kind: int, row: bytes) -> None:
    """Write a PNG of 4×4 with any bit depth; every row is `row`."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", 4, 4, depth, kind, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress((b"\0" + row) * 4)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


@pytest.mark.parametrize(
    ("depth", "kind", "row", "expected"),
    [
        (1, 0, bytes([0b01010000]), [0, 255, 0, 255]),
        (2, 0, bytes([0b00011011]), [0, 85, 170, 255]),
        (4, 0, bytes([0x01, 0xEF]), [0, 17, 238, 255]),
        (16, 2, bytes([0x12, 0x34] * 12), [0x12] * 4),
        (16, 4, bytes([0x12, 0x34, 0xFF, 0xFF] * 4), [0x12] * 4),
        (16, 6, bytes([0x12, 0x34, 0x12, 0x34, 0x12, 0x34, 0xFF, 0xFF] * 4), [0x12] * 4),
    ],
)
def test_all_bit_depths_of_png_are_scaled_to_eight(depth, kind, row, expected, tmp_path):
    png(tmp_path / "0.png", depth, kind, row)
    assert read_image(tmp_path / "0.png", 1)[0, 0].tolist() == expected


def test_more_than_eight_bits_of_grey_are_refused(tmp_path):
    png(tmp_path / "0.png", 16, 0, bytes([0x12, 0x34] * 4))
    assert "0.png has more than eight bits a channel (mode I;16)" in refusal(read_headers, [tmp_path / "0.png"])


def test_cmyk_reads_as_its_colour(tmp_path):
    Image.new("RGB", (8, 8), (200, 40, 10)).convert("CMYK").save(tmp_path / "0.jpg", quality=100)
    assert read_image(tmp_path / "0.jpg", 3)[:, 0, 0].tolist() == [200, 40, 10]


def test_a_few_images_in_colour_are_said(tmp_path):
    for number in range(5):
        Image.new("L" if number else "RGB", (4, 4), 100).save(tmp_path / f"{number}.png")
    assert "only 1 of 5 are in colour, so all have three channels" in notes(tmp_path)
    grey = ImageData(lambda: image_folder(str(tmp_path), channels=1), 2).summary()
    assert "1 colour image made grey" in grey


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF\0\0\0\0WEBP", b"BM"]
)
def test_what_is_no_image_is_refused_by_name(content, tmp_path):
    (tmp_path / "0.png").write_bytes(content)
    assert "0.png is not a readable image" in refusal(read_headers, [tmp_path / "0.png"])
