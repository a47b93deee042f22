"""Check files in MNIST's idx format before torchvision reads them: a wrong file is refused in one line that names it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torchvision.datasets.utils import check_integrity

from genrun.data.images import sha256_of_file
from genrun.errors import Refused

UBYTE = 0x08  # the format's code for unsigned bytes, the only type that MNIST's files use


def check_idx_pair(images: Path, labels: Path, num_classes: int) -> tuple[int, ...]:
    """Return the images' (N, H, W); refuse a file of images or labels that is truncated or of another data set."""
    shape = read_header(images, ndim=3)
    (count,) = read_header(labels, ndim=1)
    if count != shape[0]:
        raise Refused(
            f"{labels} has {count} labels, but {images.name} beside it has {shape[0]} images: "
            "expected one label per image; take both files from the same data set"
        )
    values = np.fromfile(labels, dtype=np.uint8, offset=8)
    if values.max() >= num_classes:
        raise Refused(
            f"{labels} holds the label {values.max()}, expected 0 to {num_classes - 1}; it belongs to another data set"
        )
    return shape


def read_header(path: Path, ndim: int) -> tuple[int, ...]:
    """Return the dimensions in the header of an idx file of unsigned bytes; refuse a file whose size does not match.

    The format is: 00 00 08 ndim | dim_1 … dim_ndim, 4 bytes each, big-endian | values
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(4 + 4 * ndim)
    if head[:4] != bytes([0, 0, UBYTE, ndim]):
        raise Refused(
            f"{path} is not the idx file it should be: expected to begin with {bytes([0, 0, UBYTE, ndim]).hex(' ')} "
            f"(unsigned bytes in {ndim} dimensions), got {head[:4].hex(' ') or 'an empty file'}; "
            "delete it and it is downloaded again"
        )
    dims = tuple(int.from_bytes(head[i : i + 4], "big") for i in range(4, len(head), 4))
    expected = 4 + 4 * ndim + int(np.prod(dims, dtype=object))
    if len(head) < 4 + 4 * ndim or size < expected:
        raise Refused(
            f"{path} is truncated: its header promises {expected} bytes, the file has {size}; "
            "delete it and it is downloaded again"
        )
    if size > expected or min(dims) < 1:
        raise Refused(
            f"{path} is corrupt: its header promises {' x '.join(map(str, dims))} values in {expected} bytes, "
            f"the file has {size}; delete it and it is downloaded again"
        )
    return dims


def check_sha256(path: Path, sha256: str | None, md5: str | None = None) -> str:
    """Return a file's sha256; refuse the file when neither `sha256` nor `md5` matches. `sha256=None` accepts any file."""
    digest = sha256_of_file(path)
    if sha256 is not None and digest != sha256 and not (md5 and check_integrity(path, md5)):
        raise Refused(
            f"{path} is not the official file: expected sha256 {sha256[:12]}…{f' or md5 {md5[:12]}…' if md5 else ''}, "
            f"got sha256 {digest[:12]}…; delete it and it is downloaded again, or accept other files of the same "
            "layout with data.source.sha256=null"
        )
    return digest
