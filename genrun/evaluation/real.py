"""The real images of a data set and their statistics, which are computed once and then read from the cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from rich.console import Console
from torch import Tensor

from genrun.data.images import Images, shuffled
from genrun.evaluation.cache import cached
from genrun.evaluation.features import CHUNK, Space
from genrun.evaluation.metrics.neighbours import Neighbours, nearest
from genrun.system.console import say
from genrun.types import Facts

if TYPE_CHECKING:
    from genrun.data.module import ImageData

VERSION = 1  # of the cached statistics; raise it when the code would compute other values
PER_CELL = 200  # test images in a cell of k-means; C_T compares images within a cell only
CLUSTERED = 20_000  # training images at most that k-means is fitted to


class DistancesToTrain(NamedTuple):
    """Distances of real images to their nearest training image, and the centres of the cells of C_T."""

    train: Tensor  # (N,) of training images, to the nearest other one
    test: Tensor  # (M,) of test images
    held_out: Tensor  # (V,) of validation images
    held_out_nearest: Tensor  # (V,) indices of the training images nearest to the validation images
    centres: Tensor  # (cells, d)


class RealImages:
    """Training, held-out and test images of a data set, in pixels or as features in any space.

    Images are read when they are first needed. If the cache holds a result, it is not computed again and the images
    for it are not read.

    Args:
        data: the data set, which is not read before it is needed.
        facts: the facts of this data set.
        key: identifies the images; the cache has a folder for each key.
        cache: folder for the results.
        console: where progress is shown.
    """

    def __init__(self, data: ImageData, facts: Facts, key: str, cache: Path, console: Console) -> None:
        self.data, self.facts, self.console = data, facts, console
        self.folder = cache / "judge" / key
        self._seen: dict[str, Tensor] = {}

    def features(self, space: Space, split: str, binary: bool = False) -> Tensor:
        """Return the features (N, d) float32 of a split, in a fixed random order.

        Args:
            split: `train`, `validation` or `test`.
            binary: round each value of the images to 0 or 1 first.
        """
        name = f"{space.hash[:16]}-{split}{'-binary' if binary else ''}"

        def make() -> dict[str, Tensor]:
            images = getattr(self.data, split)
            parts = (images.pixels(index) for index in shuffled(len(images)).split(CHUNK))
            parts = map(binarise, parts) if binary else parts
            what = f"{space.name} features of {len(images):,} {split} images"
            return {"features": space(parts, self.console, what, len(images))}

        if name not in self._seen:
            self._seen[name] = self.statistics(name, make)["features"]
        return self._seen[name]

    def images(self, split: str, most: int | None = None) -> Images:
        """Return the first `most` images of a split, in the order of `features`; None: all."""
        images = getattr(self.data, split)
        return images.take(shuffled(len(images))[:most])

    def labels(self, split: str) -> Tensor:
        """Return the labels (N,) int64 of a split, in the order of `features`; -1 for an image without a label."""

        def make() -> dict[str, Tensor]:
            return {
                name: getattr(self.data, name).labels[shuffled(len(getattr(self.data, name)))]
                for name in ("train", "validation", "test")
            }

        return self.statistics("labels", make)[split]

    def among(self, space: Space, split: str, n: int, k: int, binary: bool = False) -> Neighbours:
        """Return the k nearest neighbours of each of the first n images of a split among these images, in the order of `features`."""

        def make() -> dict[str, Tensor]:
            features = self.features(space, split, binary)[:n]
            return Neighbours(*nearest(features, features, k, same=True))._asdict()

        return Neighbours(
            **self.statistics(f"{space.hash[:16]}-among-{n}-{split}-{k}{'-binary' if binary else ''}", make)
        )

    def distances_to_train(self, space: Space, binary: bool = False) -> DistancesToTrain:
        """Return the distances of real images to their nearest training image, in a space."""

        def make() -> dict[str, Tensor]:
            from sklearn.cluster import KMeans

            train, test, held_out = (self.features(space, split, binary) for split in ("train", "test", "validation"))
            say(self.console, f"computing distances among {len(train):,} training images, once for this data")
            of_held_out, which = nearest(held_out, train)
            cells = min(max(1, len(test) // PER_CELL), len(train[:CLUSTERED]))
            kmeans = KMeans(cells, n_init=1, random_state=0).fit(train[:CLUSTERED].numpy())
            return DistancesToTrain(
                train=nearest(train, train, same=True)[0][:, 0],
                test=nearest(test, train)[0][:, 0],
                held_out=of_held_out[:, 0],
                held_out_nearest=which[:, 0],
                centres=torch.from_numpy(kmeans.cluster_centers_),
            )._asdict()

        return DistancesToTrain(**self.statistics(f"{space.hash[:16]}-to-train{'-binary' if binary else ''}", make))

    def statistics(self, name: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return statistics of this data from the cache, or compute them with `make` and save them under `name`."""
        return cached(self.folder / f"{name}-{VERSION}.safetensors", make)

    def network(self, name: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return a network's weights for this data from the cache, or train it with `make`; `name` says how it is trained."""
        return cached(self.folder / f"{name}.safetensors", make)


def binarise(pixels: Tensor) -> Tensor:
    """Round each value of uint8 pixels to 0 or 255, whichever is nearer."""
    return (pixels > 127).to(torch.uint8) * 255


def is_binary(pixels: Tensor) -> bool:
    """Return whether all uint8 pixels are 0 or 255."""
    return bool(((pixels == 0) | (pixels == 255)).all())
