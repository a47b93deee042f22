"""Hold N images and their labels: decoded in one uint8 tensor, or as files that are decoded when needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2.functional import InterpolationMode, center_crop, resize

from genrun.data.decode import ONE_SIZE
from genrun.errors import Refused
from genrun.system.hardware import cores

# Seed of every split that the data set does not define itself. It is not the run's seed, so all runs share their test images.
SPLIT_SEED = 0
DARK = 64  # images whose values all lie below are said to be dark: perhaps they were saved on another scale
CHUNK = 256  # images that one thread decodes or resizes at a time


@dataclass(frozen=True, eq=False, kw_only=True)
class Images:
    """N images with labels; the base class of `Stored` and `Files`.

    Args:
        labels: (N,) int64, -1 where there are none.
        size: side to which the largest centred square of every image is resized; None: images are not resized.
    """

    labels: Tensor
    size: int | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def native(self) -> tuple[int, int, int]:
        """The images' (C, H, W) before resizing to `size`."""
        raise NotImplementedError

    def pixels(self, index: Tensor) -> Tensor:
        """Return the images at these indices (n,) as (n, C, H, W) uint8, on the CPU."""
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, int, int]:
        """The (C, H, W) of the images that `pixels` and `images` return."""
        return self.native if self.size is None else (self._channels, self.size, self.size)

    @property
    def _channels(self) -> int:
        return self.native[0]

    def images(self, index: Tensor) -> Tensor:
        """Return the images at these indices (n,) as (n, C, H, W) float32 in [0, 1], on the device of the indices."""
        return self.pixels(index.cpu()).to(index.device).div(255)

    def take(self, index: Tensor) -> Images:
        """Return the images at these indices, in the order of the indices."""
        raise NotImplementedError

    def resized(self, size: int | None) -> Images:
        """Return the same images at another size."""
        return replace(self, size=size)

    def labelled(self, labels: Tensor) -> Images:
        """Return the same images with other labels (N,)."""
        return replace(self, labels=labels)

    @property
    def in_memory(self) -> bool:
        """Whether the images are already decoded at their final size."""
        return False

    @property
    def nbytes(self) -> int:
        """The number of bytes of all images when decoded."""
        return len(self) * int(np.prod(self.shape))

    def decoded(self) -> Stored:
        """Return the same images decoded in one tensor; threads decode and resize them chunk by chunk."""
        whole = torch.empty(len(self), *self.shape, dtype=torch.uint8)

        def fill(first: int) -> None:
            index = torch.arange(first, min(first + CHUNK, len(self)))
            whole[first : first + len(index)] = self.pixels(index)

        with ThreadPoolExecutor(min(8, cores())) as pool:
            list(pool.map(fill, range(0, len(self), CHUNK)))
        return Stored(array=whole, labels=self.labels)


@dataclass(frozen=True, eq=False, kw_only=True)
class Stored(Images):
    """Images in memory, decoded.

    Args:
        array: (N, C, H, W) uint8.
    """

    array: Tensor

    @property
    def native(self) -> tuple[int, int, int]:
        return tuple(self.array.shape[1:])

    def pixels(self, index: Tensor) -> Tensor:
        chosen = self.array.index_select(0, index)
        return chosen if self.size is None else to_square(chosen, self.size)

    def take(self, index: Tensor) -> Stored:
        return replace(self, array=self.array.index_select(0, index), labels=self.labels.index_select(0, index))

    @property
    def in_memory(self) -> bool:
        return self.size is None

    def decoded(self) -> Stored:
        return self if self.in_memory else super().decoded()


@dataclass(frozen=True, eq=False, kw_only=True)
class Files(Images):
    """Images in files, decoded when needed.

    Args:
        paths: N files.
        read: reads one file as (C, H, W) uint8.
        channels: C.
        extent: (H, W) of every image, or, if they differ, a sentence that says which do.
    """

    paths: list[Path] = field(repr=False)
    read: Callable[[Path], Tensor]
    channels: int
    extent: tuple[int, int] | str

    @property
    def native(self) -> tuple[int, int, int]:
        if isinstance(self.extent, str):
            raise Refused(f"{self.extent}; {ONE_SIZE}")
        return (self.channels, *self.extent)

    @property
    def _channels(self) -> int:
        return self.channels

    def pixels(self, index: Tensor) -> Tensor:
        chosen = [self.read(self.paths[i]) for i in index.tolist()]
        if self.size is not None:
            chosen = [to_square(image, self.size) for image in chosen]
        return torch.stack(chosen) if chosen else torch.empty(0, *self.shape, dtype=torch.uint8)

    def take(self, index: Tensor) -> Files:
        return replace(self, paths=[self.paths[i] for i in index.tolist()], labels=self.labels.index_select(0, index))


@dataclass(frozen=True, eq=False)
class Source:
    """A data set as it was read, before classes, image size or number of images are chosen.

    Args:
        train, test: the images of each split.
        class_names: one name per label; empty when the data has no labels.
        checksum: sha256 of the content, the same on every machine.
        files: the files that were read, and the folders that were searched for them.
        notes: what was left out, and what is not read as it may seem, in words for the first line of a run.
    """

    train: Images
    test: Images
    class_names: tuple[str, ...]
    checksum: str
    files: list[Path]
    notes: tuple[str, ...] = ()


def to_square(pixels: Tensor, size: int) -> Tensor:
    """Crop images (…, C, H, W) uint8 to the largest centred square, and resize it: (…, C, size, size) uint8."""
    side = min(pixels.shape[-2:])
    return resize(
        center_crop(pixels, [side, side]), [size, size], interpolation=InterpolationMode.BILINEAR, antialias=True
    )


def shuffled(n: int) -> Tensor:
    """Return the fixed permutation (n,) that decides which images are held out or kept under a limit.

    It uses numpy, which promises that the stream of `RandomState` never changes; torch makes no such promise.
    """
    return torch.from_numpy(np.random.RandomState(SPLIT_SEED).permutation(n))


def hold_out(images: Images, share: float) -> tuple[Images, Images]:
    """Hold out a fixed share: return (the rest, the held-out images), in their old order, at least one image in each."""
    order = shuffled(len(images))
    count = min(max(1, round(share * len(images))), len(images) - 1)
    return images.take(order[count:].sort().values), images.take(order[:count].sort().values)


def check_values(pixels: Tensor, what: str) -> str | None:
    """Return in words that images (…) uint8 are nearly or quite black, or all of one value; None if they are not.

    Raises:
        Refused: their largest value is 1, so they hold 0 and 1 and not 0 to 255.
    """
    if not pixels.numel():
        return None
    least, most = int(pixels.min()), int(pixels.max())
    if most == 1:
        raise Refused(
            f"{what}: the largest value is 1, expected 0 (black) to 255 (white): these images would be black; multiply them "
            "by 255 if 1 is white"
        )
    if least == most:
        return f"every pixel is {most}"
    return f"dark: the largest value is {most} of 255" if most < DARK else None


def checksum_of(parts: dict[str, str]) -> str:
    """Return one sha256 over {name: sha256 of its content}, sorted by name."""
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(parts.items()))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def checksum_of_images(train: Stored, test: Stored) -> str:
    """Return the sha256 over the shapes, pixels and labels of both splits."""
    parts = {}
    for split, images in (("train", train), ("test", test)):
        parts[f"{split} images {tuple(images.array.shape)}"] = _sha256_of_tensor(images.array)
        parts[f"{split} labels"] = _sha256_of_tensor(images.labels)
    return checksum_of(parts)


def _sha256_of_tensor(tensor: Tensor) -> str:
    array = tensor.contiguous().numpy()
    return hashlib.sha256(array.astype(array.dtype.newbyteorder("<"), copy=False).data).hexdigest()


def sha256_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
