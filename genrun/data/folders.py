"""Read data sets that are folders of image files: CelebA, CelebA beside Anime faces, and any folder of the user's."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torchvision import datasets
from torchvision.datasets.utils import check_integrity

from genrun.data.decode import Header, extent_of, how_read, read_headers, read_image
from genrun.data.download import explain_errors
from genrun.data.images import Files, Source, checksum_of, hold_out, shuffled
from genrun.data.layout import layout_below
from genrun.data.search import ENDINGS, Tree, search
from genrun.data.words import few, place_of
from genrun.errors import Refused, nearest

TEST_SHARE = 0.1  # share of the images that becomes the test split when the folder has none


def image_folder(path: str | None, channels: int | None = None) -> Source:
    """Read a folder of jpg, png, webp or bmp files, searched recursively, through links too.

    The folders `train` and `test` (or Training, test_set, …) are the splits if there are any, and `val` is the test split if there is
    no other; without them a fixed tenth becomes the test split. The sub-folders of a split are its classes if there are at
    least two. docs/data.md says what is left out and what is refused.

    Args:
        path: the folder.
        channels: 1 (grey) or 3 (colour); None: 1 when all files are grey, else 3.
    """
    layout = layout_below(path, channels)
    home, found = layout.home, layout.files()
    everything = [file for files in found for file in files]
    headers = read_headers(everything)
    if channels is None:
        channels = 1 if all(header.grey for header in headers) else 3
    read, extent = partial(read_image, channels=channels), extent_of(everything, headers)
    splits = [
        Files(
            paths=files,
            read=read,
            channels=channels,
            extent=extent,
            labels=torch.tensor(part.labels) if layout.class_names else torch.full((len(files),), -1),
        )
        for files, part in zip(found, layout.parts, strict=True)
    ]
    train, test = splits if len(splits) == 2 else hold_out(splits[0], TEST_SHARE)
    checksum = _checksum(home, everything, headers)
    if not layout.by_paths_alone:
        order = "\n".join([*("/".join(part.root) for part in layout.parts), *layout.class_names])
        checksum = checksum_of({"files": checksum, "splits and classes": hashlib.sha256(order.encode()).hexdigest()})
    notes = [*layout.notes, *how_read(headers, channels)]
    if layout.left_out:
        notes.append(f"left out: {', '.join(layout.left_out)}")
    files = [*_folders(home, layout.tree), *everything]
    return Source(train, test, layout.class_names, checksum, files, tuple(notes))


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
    headers = read_headers(everything)
    extent = extent_of(everything, headers) if crop is None else (crop, crop)
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
    files = [*(folder / file for file in lists), *everything]
    return Source(*splits, class_names, checksum, files, tuple(how_read(headers, channels=3)))


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
    home, photographs = place_of(anime, "data.source.anime"), Path(root).expanduser() / datasets.CelebA.base_folder
    if not home.is_dir():
        raise Refused(f"{home} is not a folder: expected one with Anime faces ({ENDINGS}); set data.source.anime")
    if photographs.resolve().is_relative_to(home.resolve()) or home.resolve().is_relative_to(photographs.resolve()):
        raise Refused(f"{home} and CelebA's folder {photographs} overlap: set data.source.anime to Anime faces only")

    real = celeba(root, crop)
    tree = search(home, option="anime")
    found = [home.joinpath(*image) for image in tree.images]
    if len(found) < 2:
        raise Refused(f"{home} holds one image: expected two or more, to train and to test; set data.source.anime")
    # which images are used is known before they are read: a set may hold many more than images_of_each
    labels, read = torch.ones(len(found), dtype=torch.int64), partial(read_image, channels=3)
    drawn = Files(paths=found, read=read, channels=3, extent="the images are not read yet", labels=labels)
    drawings = hold_out(drawn, TEST_SHARE)
    pairs = [(_first(real.train, count), _first(drawings[0], count)), (real.test, drawings[1])]
    used = [path for _, drawing in pairs for path in drawing.paths]
    headers = read_headers(used)
    extent = extent_of(used, headers)
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
    notes = [*real.notes, *(f"Anime: {note}" for note in how_read(headers, channels=3))]
    if tree.left_out:
        notes.append(f"left out: {few(tree.left_out)}")
    files = [*real.files, *_folders(home, tree), *used]
    return Source(*splits, ("CelebA", "Anime"), checksum, files, tuple(notes))


def _first(images: Files, count: int | None) -> Files:
    """Return `count` images chosen by the fixed permutation, in their old order; None: all."""
    return images.take(shuffled(len(images))[:count].sort().values)


def _read_either(path: Path, cropped: Path, crop: int | None) -> Tensor:
    """Return an image file as (3, H, W) uint8; only the images of the folder `cropped` are cropped."""
    return read_image(path, channels=3, crop=crop if path.parent == cropped else None)


def _folders(home: Path, tree: Tree) -> list[Path]:
    return [home.joinpath(*folder) for folder in tree.folders]


def _sha256_only(files) -> list[Header]:
    return [Header(0, 0, False, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]


def _checksum(home: Path, files: Sequence[Path], headers: Sequence[Header]) -> str:
    return checksum_of(
        {file.relative_to(home).as_posix(): header.sha256 for file, header in zip(files, headers, strict=True)}
    )
