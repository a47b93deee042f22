"""Read data sets that are folders of image files: CelebA, CelebA beside Anime faces, and any folder of the user's."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import datasets
from torchvision.datasets.utils import check_integrity
from torchvision.transforms.v2.functional import center_crop

from genrun.data.download import explain_errors
from genrun.data.images import Files, Source, checksum_of, hold_out, shuffled
from genrun.errors import Refused, nearest

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
GREY_MODES = ("1", "L", "LA")
DEEP_MODES = ("I", "F")  # Pillow's modes with more than eight bits per channel begin with these
TEST_SHARE = 0.1  # share of the images that becomes the test split when there is no folder test/
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)  # what Pillow raises on a broken file


class Header(NamedTuple):
    """Facts of an image file that are known before its pixels are decoded."""

    height: int
    width: int
    grey: bool
    sha256: str


def image_folder(path: str | None, channels: int | None = None) -> Source:
    """Read a folder of jpg, png, webp or bmp files, searched recursively.

    `train/` and `test/` are the splits where they exist; otherwise a fixed tenth becomes the test split. The
    sub-folders of a split are its classes, in alphabetical order, if there are at least two and every image lies in
    one of them.

    Args:
        path: the folder.
        channels: 1 (grey) or 3 (colour); None: 1 when all files are grey, else 3.
    """
    if path is None:
        raise Refused("data=image_folder needs a folder, got none: set data.source.path=…")
    if channels not in (None, 1, 3):
        raise Refused(f"data.source.channels must be 1 (grey), 3 (colour) or null, got {channels!r}")
    home = Path(path).expanduser()
    if not home.is_dir():
        raise Refused(f"{home} is not a folder: expected one with images ({_suffixes()}); set data.source.path")
    parts = [home / "train"] if (home / "train").is_dir() else [home]
    if parts[0] != home and (home / "test").is_dir():
        parts.append(home / "test")

    found = [_images_under(part) for part in parts]
    class_names = _class_names(parts[0], found[0])
    labels = [_labels(part, files, class_names) for part, files in zip(parts, found, strict=True)]
    everything = [file for files in found for file in files]
    headers = _headers(everything)
    if channels is None:
        channels = 1 if all(header.grey for header in headers) else 3
    read = partial(read_image, channels=channels)
    extent = _extent(everything, headers)
    splits = [
        Files(paths=files, read=read, channels=channels, extent=extent, labels=label)
        for files, label in zip(found, labels, strict=True)
    ]
    train, test = splits if len(splits) == 2 else hold_out(splits[0], TEST_SHARE)
    folders = sorted({home}.union(*(_folders_under(part) for part in parts)))
    checksum = _checksum(home, everything, headers)
    return Source(train, test, class_names, checksum, [*folders, *everything])


def celeba(root: str, crop: int | None = 140, label: str | None = None) -> Source:
    """Read CelebA from `<root>/celeba`, in torchvision's layout: 162,770 + 19,962 colour faces of 178×218.

    Args:
        root: the folder of all data sets.
        crop: side of the centred square that is cut out; None: the whole image.
        label: one of the 40 attributes, which makes two classes (`Male`: "not Male", "Male"); None: no labels.

    References:
        Liu, Luo, Wang, Tang, Deep learning face attributes in the wild, 2015.
    """
    dataset, home = datasets.CelebA, Path(root).expanduser()
    folder = home / dataset.base_folder
    lists = {file: md5 for _, md5, file in dataset.file_list if file.endswith(".txt")}
    wrong = [file for file, md5 in lists.items() if not check_integrity(folder / file, md5)]
    if not (folder / "img_align_celeba").is_dir():
        wrong.append("img_align_celeba/ (unpacked from img_align_celeba.zip)")
    if wrong:
        with explain_errors("CelebA", folder, wrong):
            dataset(str(home), download=True)

    read = {split: dataset(str(home), split=split) for split in ("train", "test")}
    names = [name for name in read["train"].attr_names if name]
    if label is not None and label not in names:
        raise Refused(f"data.source.label: CelebA has no attribute {label!r}{nearest(label, names)}; there are {names}")
    paths = {split: [folder / "img_align_celeba" / name for name in read[split].filename] for split in read}
    everything = [path for split in read for path in paths[split]]
    headers = _headers(everything)
    extent = _extent(everything, headers) if crop is None else (crop, crop)
    splits = [
        Files(
            paths=paths[split],
            read=partial(read_image, channels=3, crop=crop),
            channels=3,
            extent=extent,
            labels=torch.full((len(paths[split]),), -1) if label is None else read[split].attr[:, names.index(label)],
        )
        for split in read
    ]
    class_names = () if label is None else (f"not {label}", label)
    # the lists give the split and the attributes of each image, so the checksum covers them too
    digests = [*headers, *_sha256_only(folder / file for file in lists)]
    checksum = _checksum(folder, [*everything, *(folder / file for file in lists)], digests)
    return Source(*splits, class_names, checksum, [*(folder / file for file in lists), *everything])


def celeba_anime(root: str, anime: str | None, crop: int | None = 140, images_of_each: int | None = None) -> Source:
    """Read CelebA as class 0 and a folder of Anime faces as class 1, both in colour.

    The sets of faces cut out of Danbooru have no official split: a fixed tenth becomes the test split. Only the Anime images
    that are used are read; the checksum covers these and all of CelebA.

    Args:
        root: the folder of all data sets, with CelebA as in `celeba`.
        anime: the folder of the Anime images, searched recursively.
        crop: side of the centred square that is cut out of CelebA's images; None: the whole image.
        images_of_each: largest number of training images of each class, the first of a fixed shuffle; None: all.

    References:
        Liu, Luo, Wang, Tang, Deep learning face attributes in the wild, 2015.
        Anonymous, Danbooru community, Branwen, Gokaslan, Danbooru2018: a large-scale crowdsourced and tagged anime
        illustration dataset, 2019.
    """
    if anime is None:
        raise Refused("data=celeba_anime needs a folder of Anime faces, got none: set data.source.anime=…")
    count = images_of_each
    if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
        raise Refused(f"data.source.images_of_each must be a whole number of at least 1, or null, got {count!r}")
    home, photographs = Path(anime).expanduser(), Path(root).expanduser() / datasets.CelebA.base_folder
    if not home.is_dir():
        raise Refused(f"{home} is not a folder: expected one with Anime faces ({_suffixes()}); set data.source.anime")
    if photographs.resolve().is_relative_to(home.resolve()) or home.resolve().is_relative_to(photographs.resolve()):
        raise Refused(f"{home} and CelebA's folder {photographs} overlap: set data.source.anime to Anime faces only")

    real = celeba(root, crop)
    found = _images_under(home, option="anime")
    if len(found) < 2:
        raise Refused(f"{home} holds one image: expected two or more, to train and to test; set data.source.anime")
    # which images are used is known before they are read: a set may hold many more than images_of_each
    labels, read = torch.ones(len(found), dtype=torch.int64), partial(read_image, channels=3)
    drawn = Files(paths=found, read=read, channels=3, extent="the images are not read yet", labels=labels)
    drawings = hold_out(drawn, TEST_SHARE)
    pairs = [(_first(real.train, count), _first(drawings[0], count)), (real.test, drawings[1])]
    used = [path for _, drawing in pairs for path in drawing.paths]
    headers = _headers(used)
    extent = _extent(used, headers)
    if extent != real.train.extent:
        extent = "the images of CelebA and of Anime differ in size"
    splits = [
        Files(
            paths=photograph.paths + drawing.paths,
            read=partial(_read_either, cropped=photographs / "img_align_celeba", crop=crop),
            channels=3,
            extent=extent,
            labels=torch.cat([torch.zeros_like(photograph.labels), drawing.labels]),
        )
        for photograph, drawing in pairs
    ]
    checksum = checksum_of({"CelebA": real.checksum, "Anime": _checksum(home, used, headers)})
    return Source(*splits, ("CelebA", "Anime"), checksum, [*real.files, *_folders_under(home), *used])


def _first(images: Files, count: int | None) -> Files:
    """Return `count` images chosen by the fixed permutation, in their old order; None: all."""
    return images.take(shuffled(len(images))[:count].sort().values)


def _read_either(path: Path, cropped: Path, crop: int | None) -> Tensor:
    """Return an image file as (3, H, W) uint8; only the images of the folder `cropped` are cropped."""
    return read_image(path, channels=3, crop=crop if path.parent == cropped else None)


def read_image(path: Path, channels: int, crop: int | None = None) -> Tensor:
    """Return an image file as (C, H, W) uint8, grey or colour; `crop` cuts out the centred square of that side."""
    try:
        with Image.open(path) as image:
            array = np.array(image.convert("L" if channels == 1 else "RGB"))
    except UNREADABLE as error:
        raise _unreadable(path, error) from None
    pixels = torch.from_numpy(array)
    pixels = pixels.unsqueeze(0) if channels == 1 else pixels.permute(2, 0, 1).contiguous()  # (H, W[, 3]) → (C, H, W)
    if crop is None:
        return pixels
    if crop > min(pixels.shape[1:]):
        size = f"{pixels.shape[1]}×{pixels.shape[2]}"
        raise Refused(f"{path} is {size} (H×W), smaller than data.source.crop={crop}: choose a smaller crop, or null")
    return center_crop(pixels, [crop, crop])


def _folders_under(folder: Path) -> list[Path]:
    """Return a folder and all folders below it, sorted."""
    return sorted({folder, *(below for below in folder.rglob("*") if below.is_dir())})


def _images_under(folder: Path, option: str = "path") -> list[Path]:
    """Return all image files under a folder, sorted, without hidden files; `option` names the folder in errors."""
    files = sorted(
        file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    )
    if not files:
        raise Refused(f"{folder} holds no images: expected files that end in {_suffixes()}; set data.source.{option}")
    return files


def _class_names(part: Path, files: Sequence[Path]) -> tuple[str, ...]:
    inside = [file.relative_to(part).parts for file in files]
    names = sorted({steps[0] for steps in inside})
    return tuple(names) if len(names) > 1 and all(len(steps) > 1 for steps in inside) else ()


def _labels(part: Path, files: Sequence[Path], class_names: tuple[str, ...]) -> Tensor:
    if not class_names:
        return torch.full((len(files),), -1)
    number = {name: label for label, name in enumerate(class_names)}
    labels = []
    for file in files:
        name = file.relative_to(part).parts[0]
        if name not in number:
            raise Refused(f"{file} is in none of the classes of train/ ({', '.join(class_names)}): move or rename it")
        labels.append(number[name])
    return torch.tensor(labels)


def _headers(files: Sequence[Path]) -> list[Header]:
    with ThreadPoolExecutor() as pool:
        return list(pool.map(_header, files))


def _header(path: Path) -> Header:
    try:
        content = path.read_bytes()
        with Image.open(BytesIO(content)) as image:
            (width, height), mode = image.size, image.mode
    except UNREADABLE as error:
        raise _unreadable(path, error) from None
    if mode.startswith(DEEP_MODES):
        raise Refused(f"{path} has more than eight bits a channel (mode {mode}): expected eight; convert it")
    return Header(height, width, mode in GREY_MODES, hashlib.sha256(content).hexdigest())


def _unreadable(path: Path, error: BaseException) -> Refused:
    reason = "it is missing" if isinstance(error, FileNotFoundError) else " ".join(str(error).split())
    # Pillow's name for the bytes tells the user nothing
    reason = reason.replace("<_io.BytesIO object at ", "<").split(" <")[0]
    return Refused(f"{path} is not a readable image ({reason}): replace it or take it out of the folder")


def _extent(files: Sequence[Path], headers: Sequence[Header]) -> tuple[int, int] | str:
    """Return (H, W) if it is the same for all files, else a sentence that names the first file that differs."""
    first = headers[0]
    for file, header in zip(files, headers, strict=True):
        if header[:2] != first[:2]:
            return (
                f"the images differ in size: {files[0]} is {first.height}×{first.width} (H×W), "
                f"{file} {header.height}×{header.width}"
            )
    return first.height, first.width


def _sha256_only(files) -> list[Header]:
    return [Header(0, 0, False, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]


def _checksum(home: Path, files: Sequence[Path], headers: Sequence[Header]) -> str:
    return checksum_of(
        {file.relative_to(home).as_posix(): header.sha256 for file, header in zip(files, headers, strict=True)}
    )


def _suffixes() -> str:
    return ", ".join(suffix.lstrip(".") for suffix in SUFFIXES)
