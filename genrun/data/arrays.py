"""Read images from the arrays in .npz files."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from genrun.data.images import Source, Stored, checksum_of_images, hold_out
from genrun.data.places import check_npz, npz_files
from genrun.data.words import few, shown
from genrun.errors import Refused

TEST_SHARE = 0.1  # share of the images that becomes the test split when there is only one file
ROUNDING = 1e-3  # floats this far outside [0, 1] are taken for rounding errors
LARGEST_LABEL = 2**31 - 1
# other names of labels, in small letters without _; an array of such a name without `labels` is refused
LABEL_NAMES = {"label", "y", "target", "targets", "class", "classes", "ytrain", "trainlabels", "category", "categories"}


class Arrays(NamedTuple):
    """The content of one .npz file."""

    images: Stored
    notes: list[str]  # what was left out or changed, in words


def npz(path: str | None, num_classes: int | None = None) -> Source:
    """Read a data set from .npz files with the arrays `images` and, optionally, `labels`.

    `images` is uint8 or bool of shape (N, H, W), (N, H, W, 1) or (N, H, W, 3); `labels` holds whole numbers, shape (N,).

    Args:
        path: a folder with train.npz and test.npz, or one file, of which a fixed tenth becomes the test split.
        num_classes: number of classes, whose labels are 0, 1, …; None: the labels that occur in the training images are the
            classes, in the order of their numbers.
    """
    place, files = npz_files(path, num_classes)
    names = [shown(file) for file in files]
    read = [read_npz(file) for file in files]
    splits, notes = [one.images for one in read], list(dict.fromkeys(note for one in read for note in one.notes))
    if len(files) == 1 and len(splits[0]) < 2:
        raise Refused(f"{names[0]} holds one image, expected at least two: a tenth becomes the test split")
    labelled = [int(split.labels[0]) >= 0 for split in splits]
    if len(set(labelled)) > 1:
        raise Refused(f"only one of {names[0]} and {files[1].name} has `labels`: expected both or neither")
    if splits[0].native != splits[-1].native:
        raise Refused(
            f"{names[1]} has images of {_by(splits[1].native)} (C×H×W), {files[0].name} of "
            f"{_by(splits[0].native)}: expected the same"
        )
    class_names: tuple[str, ...] = ()
    if labelled[0]:
        occurring = splits[0].labels.unique().tolist()
        numbers = occurring if num_classes is None else list(range(num_classes))
        for name, split in zip(names, splits, strict=True):
            if unknown := sorted(set(split.labels.tolist()) - set(numbers)):
                raise Refused(
                    f"{name} holds the label {unknown[-1]}, expected {_numbers(numbers)}; "
                    f"set data.source.num_classes={unknown[-1] + 1} if there are that many classes"
                )
        class_names = tuple(map(str, numbers))
        if numbers != list(range(len(numbers))):
            notes.append(f"labels {_numbers(numbers)} are the classes; there is no image of other numbers")
            new = {label: place for place, label in enumerate(numbers)}
            splits = [split.labelled(torch.tensor([new[label] for label in split.labels.tolist()])) for split in splits]
    train, test = splits if len(splits) == 2 else hold_out(splits[0], TEST_SHARE)
    if beside := _not_read(place, files):
        notes.append(f"left out: {beside}")
    return Source(train, test, class_names, checksum_of_images(train, test), files, tuple(notes))


def _not_read(place: Path, files: list[Path]) -> str:
    """Return in words the .npz files that a user may think are read."""
    if place.is_dir():
        others = [shown(file.name) for file in sorted(place.glob("*.npz")) if file not in files]
        return few(others) if others else ""
    beside = place.name == "train.npz" and place.with_name("test.npz").is_file()
    return f"test.npz beside {place.name} (give the folder to use both)" if beside else ""


def read_npz(file: Path, *, floats: bool = False, own: bool = False) -> Arrays:
    """Read one .npz file: its images as (N, C, H, W) uint8, and its labels, or -1 for each image without labels.

    Args:
        file: the .npz file.
        floats: also accept floats in [0, 1], which are rounded to 8 bits.
        own: whether genrun wrote the file, so that its axes are known to be right.

    Raises:
        Refused: the file is missing, is not a whole .npz file, or holds arrays of the wrong type or shape.
    """
    name = shown(file)
    check_npz(file)
    try:
        with np.load(file, allow_pickle=False) as content:
            arrays = {key: content[key] for key in ("images", "labels") if key in content}
            others = [key for key in content if key not in arrays]
    except MemoryError:
        raise Refused(f"{name} does not fit in memory: save fewer images, or uint8") from None
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise Refused(f"{name} cannot be read as .npz ({reason}); write it with numpy.savez") from None
    keys = ", ".join(map(shown, others))
    if "images" not in arrays:
        raise Refused(
            f"{name} has no array `images`, only {keys or ', '.join(arrays) or 'nothing'}; write it with images=…"
        )
    if "labels" not in arrays:
        for key in others:
            if key.casefold().replace("_", "") in LABEL_NAMES:
                raise Refused(f"{name} has no array `labels`, but {shown(key)}: call it labels, or leave it out")
    images, labels = arrays["images"], arrays.get("labels")
    notes = [f"left out: other arrays ({keys})"] if others else []
    if images.dtype == bool:
        images = images.astype(np.uint8) * np.uint8(255)
        notes.append("true became white")
    if floats and np.issubdtype(images.dtype, np.floating):
        images = _rounded(name, images)
    if images.dtype != np.uint8:
        raise Refused(
            f"{name}: `images` must be uint8 (0 to 255){' or floats in [0, 1]' if floats else ''}, got {images.dtype}; "
            "round and convert them"
        )
    if 0 in images.shape:
        raise Refused(f"{name}: there are no images in `images`, its shape is {images.shape}")
    if not (images.ndim == 3 or (images.ndim == 4 and images.shape[-1] in (1, 3))):
        hint = f"{'transpose' if images.ndim == 4 else 'reshape'} them"
        if images.ndim == 4 and images.shape[-1] == 4:
            hint = "lay them on a background, and leave the fourth channel out"
        raise Refused(f"{name}: `images` must be (N, H, W), (N, H, W, 1) or (N, H, W, 3), got {images.shape}; {hint}")
    if not own:
        _check_axes(name, images, labels)
    images = images[..., None] if images.ndim == 3 else images
    array = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))  # (N, H, W, C) → (N, C, H, W)
    return Arrays(Stored(array=array, labels=_labels(name, labels, len(array))), notes)


def _check_axes(name: str, images: np.ndarray, labels: np.ndarray | None) -> None:
    """Refuse images whose axes seem to stand in another order, if no labels say how many images there are.

    Raises:
        Refused: they look like (H, W, N), (H, W, C), (C, H, W) or (H, W, C, N).
    """
    shape = images.shape
    if labels is not None and (labels.shape == shape[:1] or labels.shape[:1] not in [(size,) for size in shape]):
        return
    order = None
    if images.ndim == 4:
        order = "(H, W, C, N)" if shape[0] == shape[1] > 3 and shape[2] in (1, 3) else None
    elif shape[2] in (3, 4) and shape[2] < min(shape[:2]):
        order = "one image (H, W, C)"
    elif shape[0] in (3, 4) and shape[0] < min(shape[1:]):
        order = "one image (C, H, W)"
    elif shape[0] == shape[1] != shape[2] or _smooth_along_the_first(images):
        order = "(H, W, N)"
    if order:
        raise Refused(
            f"{name}: `images` of shape {shape} looks like {order}, expected (N, H, W), (N, H, W, 1) or (N, H, W, 3); transpose "
            f"them{', or write (N, H, W, 1) if there are ' + str(shape[0]) + ' images' if images.ndim == 3 else ''}"
        )


def _smooth_along_the_first(images: np.ndarray) -> bool:
    """Return whether (a, b, c) changes little along the first two axes and much along the last: then the last counts the images."""
    if min(images.shape) < 4:
        return False
    most = 2**24 // (images.shape[1] * images.shape[2]) + 4  # some 16 million values
    some = images[:most].astype(np.float32)
    first, second, last = (float(np.abs(np.diff(some, axis=axis)).mean()) for axis in range(3))
    return first > 0 and 2 * max(first, second) < last


def _rounded(name: str, images: np.ndarray) -> np.ndarray:
    """Return images of floats in [0, 1] as uint8; floats that are outside by a rounding error are clipped."""
    if not np.isfinite(images).all():
        count = int((~np.isfinite(images)).sum())
        raise Refused(
            f"{name}: `images` must be finite numbers in [0, 1], got NaN or Inf in {count:,} of {images.size:,}"
        )
    if images.size and (images.min() < -ROUNDING or images.max() > 1 + ROUNDING):
        raise Refused(
            f"{name}: `images` must lie in [0, 1], got {images.min():.7g} to {images.max():.7g}; {_rescaling(images)}"
        )
    return (images.clip(0, 1) * 255).round().astype(np.uint8)


def _rescaling(images: np.ndarray) -> str:
    """Return in words how to bring images of floats to [0, 1]."""
    least, most = images.min(), images.max()
    if least >= 0 and 2 < most <= 255.5:
        return "divide them by 255, or save uint8"
    if -1.1 <= least < -0.5 and most <= 1.1:
        return "rescale them, such as (x + 1)/2, or save uint8"
    return "clip or rescale them, or save uint8"


def _labels(name: str, labels: np.ndarray | None, count: int) -> torch.Tensor:
    """Return the labels as (N,) int64, all -1 when there are none."""
    if labels is None:
        return torch.full((count,), -1)
    whole = np.issubdtype(labels.dtype, np.integer)
    if np.issubdtype(labels.dtype, np.floating):
        if not np.isfinite(labels).all():
            raise Refused(f"{name}: `labels` must be whole numbers, got NaN or Inf; number the classes 0, 1, …")
        whole = bool((labels == np.round(labels)).all())
    if labels.ndim != 1 or not whole:
        raise Refused(
            f"{name}: `labels` must be whole numbers of shape (N,), got {labels.dtype} {labels.shape}; number the classes 0, 1, …"
        )
    if len(labels) != count:
        raise Refused(f"{name}: {count} images but {len(labels)} labels: expected one label per image")
    if len(labels) and labels.max() > LARGEST_LABEL:
        raise Refused(f"{name}: `labels` must be class numbers up to {LARGEST_LABEL:,}, got {labels.max():.7g}")
    if len(labels) and labels.min() < 0 and not (labels == -1).all():  # genrun writes all -1 for unlabelled samples
        raise Refused(
            f"{name}: `labels` must be 0 or more, got {labels.min():.7g}; leave `labels` out if there are none"
        )
    return torch.from_numpy(labels.astype(np.int64))


def _numbers(numbers: list[int]) -> str:
    """Return class numbers, which are sorted, in words: `0 to 9` or `0, 10, 20, 30`."""
    if numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]} to {numbers[-1]}"
    return few(list(map(str, numbers)))


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
