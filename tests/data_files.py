"""Small data files for tests, in the layouts of the real data sets, and what the tests ask of them."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genrun.errors import Refused

REAL_DATA = Path(os.environ.get("GENRUN_DATA") or Path(__file__).parents[2] / "shared" / "data")
IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx_bytes(array: np.ndarray) -> bytes:
    """An array of uint8 in the idx format."""
    head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return head + array.astype(np.uint8).tobytes()


def idx_contents(train: int = 40, test: int = 20, side: int = 28) -> dict[str, np.ndarray]:
    """Images whose pixels count up from their number, with labels 0, 1, … 9, 0, …"""

    def images(n: int, first: int) -> np.ndarray:
        return ((np.arange(n * side * side).reshape(n, side, side) + first) % 251).astype(np.uint8)

    arrays = (images(train, 0), np.arange(train) % 10, images(test, 7), np.arange(test) % 10)
    return dict(zip(IDX_NAMES, arrays, strict=True))


def write_idx(root: Path, name: str = "MNIST", **sizes: int) -> Path:
    """`<root>/<name>/raw` with four idx files; returns that folder."""
    raw = root / name / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for file, array in idx_contents(**sizes).items():
        (raw / file).write_bytes(idx_bytes(array))
    return raw


def write_idx_archives(folder: Path) -> list[tuple[str, str]]:
    """The same files as .gz, as a server offers them: [(name, md5)]."""
    folder.mkdir(parents=True, exist_ok=True)
    resources = []
    for file, array in idx_contents().items():
        content = gzip.compress(idx_bytes(array), mtime=0)
        (folder / f"{file}.gz").write_bytes(content)
        resources.append((f"{file}.gz", md5(content)))
    return resources


def cifar_archive(path: Path) -> dict[str, bytes]:
    """A .tar.gz like CIFAR-10's with two training batches of six images and a test batch; returns its files."""
    files = {}
    for number, name in enumerate(("data_batch_1", "data_batch_2", "test_batch")):
        data = ((np.arange(6 * 3072).reshape(6, 3072) + 50 * number) % 256).astype(np.uint8)
        files[name] = pickle.dumps({"data": data, "labels": [(number + i) % 10 for i in range(6)]})
    files["batches.meta"] = pickle.dumps({"label_names": [f"class {i}" for i in range(10)]})
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return files


def write_celeba(root: Path, train: int = 6, test: int = 3) -> dict[str, str]:
    """`<root>/celeba` with small images of 20×16 and torchvision's five lists; returns the lists' md5."""
    folder = root / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    names = [f"{i + 1:06d}.jpg" for i in range(train + test)]
    for i, name in enumerate(names):
        pixels = np.full((20, 16, 3), 10 * i, np.uint8)
        pixels[4:16, 2:14] = (20 * i, 100, 200)  # the middle, 12×12
        Image.fromarray(pixels).save(folder / "img_align_celeba" / name, quality=100, subsampling=0)
    lists = {
        "list_attr_celeba.txt": f"{len(names)}\nMale Smiling \n"
        + "".join(f"{name} {1 if i % 2 else -1}  {-1 if i % 3 else 1}\n" for i, name in enumerate(names)),
        "identity_CelebA.txt": "".join(f"{name} {i}\n" for i, name in enumerate(names)),
        "list_bbox_celeba.txt": f"{len(names)}\nimage_id x_1 y_1 width height\n"
        + "".join(f"{name} 1 2 3 4\n" for name in names),
        "list_landmarks_align_celeba.txt": f"{len(names)}\nlefteye_x lefteye_y\n"
        + "".join(f"{name} 1 2\n" for name in names),
        "list_eval_partition.txt": "".join(f"{name} {0 if i < train else 2}\n" for i, name in enumerate(names)),
    }
    for name, content in lists.items():
        (folder / name).write_text(content)
    return {name: md5(content.encode()) for name, content in lists.items()}


def write_image(path: Path, value: int | tuple[int, int, int], height: int = 6, width: int = 6) -> None:
    """One image of one colour; a number makes it grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (height, width) if isinstance(value, int) else (height, width, 3)
    Image.fromarray(np.full(shape, value, np.uint8)).save(path)


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def refusal(call, *args, **kwargs) -> str:
    """The one line with which a call is refused."""
    with pytest.raises(Refused) as caught:
        call(*args, **kwargs)
    line = str(caught.value)
    assert "\n" not in line
    assert caught.value.status == 2
    return line


def pixels(images) -> np.ndarray:
    """All images of a split, (N, C, H, W) uint8."""
    return images.pixels(torch.arange(len(images))).numpy()
