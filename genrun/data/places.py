"""Where the files of data sets lie, and whether their content is the official one. No image is read, and torch is not imported."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from genrun.data.words import place_of, shown
from genrun.errors import Refused

MOST_CLASSES = 1_000_000  # of .npz files


class Place(NamedTuple):
    """Where a data set lies."""

    folder: str  # below paths.data
    files: list[str]  # and folders in it


IDX = [f"{split}-{what}-ubyte" for split in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]
CIFAR = ["batches.meta", *(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
CELEBA = ["attr_celeba", "eval_partition", "landmarks_align_celeba", "bbox_celeba"]
CELEBA_FILES = ["img_align_celeba", "identity_CelebA.txt", *(f"list_{name}.txt" for name in CELEBA)]

MNIST, FACES = Place("MNIST/raw", IDX), Place("celeba", CELEBA_FILES)
PLACES = {  # function that reads a data set → where its files are
    "genrun.data.sources.mnist": MNIST,
    "genrun.data.numbers.mnist_numbers": MNIST,
    "genrun.data.sources.fashion_mnist": Place("FashionMNIST/raw", IDX),
    "genrun.data.sources.cifar10": Place("cifar-10-batches-py", CIFAR),
    "genrun.data.folders.celeba": FACES,
    "genrun.data.folders.celeba_anime": FACES,
}
INCLUDED = ("genrun.data.sources.digits", "genrun.data.sources.swiss_roll")  # come with scikit-learn


def official(source: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Return the official checksums of a data set: file → the names and values of hashes, any of which may fit.

    Args:
        source: the options of the function that reads it, with `_target_`.
    """
    known: dict[str, list[tuple[str, str]]] = {}
    for kind in ("sha256", "md5"):
        for file, digest in (source.get(kind) or {}).items():
            known.setdefault(file, []).append((kind, digest))
    # torchvision knows the others
    if source["_target_"] == "genrun.data.sources.cifar10":
        from torchvision.datasets import CIFAR10

        meta = CIFAR10.meta["filename"], CIFAR10.meta["md5"]
        known = {file: [("md5", digest)] for file, digest in (*CIFAR10.train_list, *CIFAR10.test_list, meta)}
    elif PLACES.get(source["_target_"]) is FACES:
        from torchvision.datasets import CelebA

        known = {file: [("md5", digest)] for _, digest, file in CelebA.file_list if file.endswith(".txt")}
    return known


def wrong_files(folder: Path, known: Mapping[str, list[tuple[str, str]]]) -> list[str]:
    """Return the names of the files whose content is not the official one. All of them are read.

    Args:
        known: see `official`.
    """
    return [
        file
        for file, digests in known.items()
        if not any(digest == of_file(folder / file, kind) for kind, digest in digests)
    ]


def of_file(path: Path, kind: str) -> str:
    """Return the hash of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()


def npz_files(path: str | None, num_classes: int | None) -> tuple[Path, list[Path]]:
    """Check the options of `genrun.data.arrays.npz`; return the path that is meant, and the files that are read.

    Raises:
        Refused: an option is wrong.
    """
    if path is None:
        raise Refused("data=npz needs a file or folder, got none: set data.source.path=…")
    if num_classes is not None and not 0 < num_classes <= MOST_CLASSES:
        raise Refused(f"data.source.num_classes must be 1 to {MOST_CLASSES:,}, or null, got {num_classes}")
    place = place_of(path, "data.source.path")
    return place, [place / "train.npz", place / "test.npz"] if place.is_dir() else [place]


def check_npz(file: Path) -> None:
    """Check that a file is there and looks like an .npz file.

    Raises:
        Refused: it is missing, or something else.
    """
    if not file.exists():
        raise Refused(
            f"{shown(file)} is missing: expected one .npz file, or a folder with train.npz and test.npz; set data.source.path"
        )
    if file.is_file() and not zipfile.is_zipfile(file):
        raise Refused(
            f"{shown(file)} cannot be read as .npz: it is another kind of file, or was cut short; write it with numpy.savez"
        )
