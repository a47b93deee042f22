"""Read images from the arrays in .npz files."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch

from genrun.data.images import Source, Stored, checksum_of_images, hold_out
from genrun.errors import Refused

TEST_SHARE = 0.1  # share of the images that becomes the test split when there is only one file


def npz(path: str | None, num_classes: int | None = None) -> Source:
    """Read a data set from .npz files with the arrays `images` and, optionally, `labels`.

    `images` is uint8 of shape (N, H, W), (N, H, W, 1) or (N, H, W, 3); `labels` holds whole numbers, shape (N,).

    Args:
        path: a folder with train.npz and test.npz, or one file, of which a fixed tenth becomes the test split.
        num_classes: number of classes; None: one more than the largest label of the training images.
    """
    if path is None:
        raise Refused("data=npz needs a file or folder, got none: set data.source.path=…")
    place = Path(path).expanduser()
    files = [place / "train.npz", place / "test.npz"] if place.is_dir() else [place]
    splits = [read_npz(file) for file in files]
    if len(files) == 1 and len(splits[0]) < 2:
        raise Refused(f"{files[0]} holds one image, expected at least two: a tenth becomes the test split")
    labelled = [int(split.labels[0]) >= 0 for split in splits]
    if len(set(labelled)) > 1:
        raise Refused(f"only one of {files[0]} and {files[1].name} has `labels`: expected both or neither")
    if splits[0].native != splits[-1].native:
        raise Refused(
            f"{files[1]} has images of {_by(splits[1].native)} (C×H×W), {files[0].name} of "
            f"{_by(splits[0].native)}: expected the same"
        )
    if labelled[0] and num_classes is None:
        num_classes = int(splits[0].labels.max()) + 1
    num_classes = num_classes if labelled[0] else 0
    for file, split in zip(files, splits, strict=True):
        if labelled[0] and split.labels.max() >= num_classes:
            raise Refused(
                f"{file} holds the label {split.labels.max()}, expected 0 to {num_classes - 1}; "
                f"set data.source.num_classes={int(split.labels.max()) + 1} if there are that many classes"
            )
    train, test = splits if len(splits) == 2 else hold_out(splits[0], TEST_SHARE)
    names = tuple(str(label) for label in range(num_classes))
    return Source(train, test, names, checksum_of_images(train, test), files)


def read_npz(file: Path, *, floats: bool = False) -> Stored:
    """Read one .npz file: its images as (N, C, H, W) uint8, and its labels, or -1 for each image without labels.

    Args:
        file: the .npz file.
        floats: also accept floats in [0, 1], which are rounded to 8 bits.

    Raises:
        Refused: the file is missing, is not a whole .npz file, or holds arrays of the wrong type or shape.
    """
    if file.is_file() and not zipfile.is_zipfile(file):
        raise Refused(
            f"{file} cannot be read as .npz: it is another kind of file, or was cut short; write it with numpy.savez"
        )
    try:
        with np.load(file, allow_pickle=False) as content:
            arrays = {key: content[key] for key in ("images", "labels") if key in content}
            keys = list(content)
    except FileNotFoundError:
        raise Refused(
            f"{file} is missing: expected one .npz file, or a folder with train.npz and test.npz; set data.source.path"
        ) from None
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise Refused(f"{file} cannot be read as .npz ({reason}); write it with numpy.savez") from None
    if "images" not in arrays:
        raise Refused(f"{file} has no array `images`, only {', '.join(keys) or 'nothing'}; write it with images=…")
    images = arrays["images"]
    if floats and np.issubdtype(images.dtype, np.floating):
        images = _rounded(file, images)
    if images.dtype != np.uint8:
        raise Refused(
            f"{file}: `images` must be uint8 (0 to 255){' or floats in [0, 1]' if floats else ''}, got {images.dtype}; "
            "round and convert them"
        )
    if 0 in images.shape:
        raise Refused(f"{file}: there are no images in `images`, its shape is {images.shape}")
    if not (images.ndim == 3 or (images.ndim == 4 and images.shape[-1] in (1, 3))):
        raise Refused(
            f"{file}: `images` must be (N, H, W), (N, H, W, 1) or (N, H, W, 3), got {images.shape}; "
            f"{'transpose' if images.ndim == 4 else 'reshape'} them"
        )
    images = images[..., None] if images.ndim == 3 else images
    array = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))  # (N, H, W, C) → (N, C, H, W)
    return Stored(array=array, labels=_labels(file, arrays.get("labels"), len(array)))


def _rounded(file: Path, images: np.ndarray) -> np.ndarray:
    """Return images of floats in [0, 1] as uint8."""
    if not np.isfinite(images).all():
        count = int((~np.isfinite(images)).sum())
        raise Refused(
            f"{file}: `images` must be finite numbers in [0, 1], got NaN or Inf in {count:,} of {images.size:,}"
        )
    if images.size and (images.min() < 0 or images.max() > 1):
        raise Refused(
            f"{file}: `images` must lie in [0, 1], got {images.min():.4g} to {images.max():.4g}; "
            f"{'divide them by 255' if images.min() >= 0 else 'rescale them, such as (x + 1)/2'}, or save uint8"
        )
    return (images * 255).round().astype(np.uint8)


def _labels(file: Path, labels: np.ndarray | None, count: int) -> torch.Tensor:
    """Return the labels as (N,) int64, all -1 when there are none."""
    if labels is None:
        return torch.full((count,), -1)
    if np.issubdtype(labels.dtype, np.floating) and (labels == np.round(labels)).all():
        labels = labels.astype(np.int64)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise Refused(f"{file}: `labels` must be whole numbers of shape (N,), got {labels.dtype} {labels.shape}")
    if len(labels) != count:
        raise Refused(f"{file}: {count} images but {len(labels)} labels: expected one label per image")
    if len(labels) and labels.min() < 0 and not (labels == -1).all():  # genrun writes all -1 for unlabelled samples
        raise Refused(f"{file}: `labels` must be 0 or more, got {labels.min()}; leave `labels` out if there are none")
    return torch.from_numpy(labels.astype(np.int64))


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
