"""Where the files of the data sets lie that genrun knows, and whether their content is the official one. No image is read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


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
