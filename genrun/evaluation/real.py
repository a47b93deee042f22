"""The real images of a data set as the judge sees them: computed once, then read from the cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from rich.console import Console
from sklearn.cluster import KMeans
from torch import Tensor

from genrun.data.images import Images, shuffled
from genrun.evaluation.cache import kept
from genrun.evaluation.features import CHUNK, Space
from genrun.evaluation.metrics.neighbours import nearest
from genrun.types import Facts

if TYPE_CHECKING:
    from genrun.data.module import ImageData

VERSION = 1  # of what is kept, raised when it would come out otherwise
PER_CELL = 200  # test images in a cell of k-means, in which C_T compares like with like
CLUSTERED = 20_000  # training images that k-means looks at


class ToTrain(NamedTuple):
    """Distances of real images to their nearest training image, and what C_T's cells are."""

    train: Tensor  # (N,) to the nearest other training image
    test: Tensor  # (M,)
    held_out: Tensor  # (V,) of validation images
    held_out_nearest: Tensor  # (V,) which one it was
    centres: Tensor  # (cells, d)


class RealImages:
    """Training, held-out and test images of a data set in any space.

    Nothing is read before it is asked for: what the cache holds is not computed, and its images not read, again.

    Args:
        data: the data set, which is not read before it is needed.
        facts: what it says of itself.
        key: names its images.
        cache: folder of what is kept.
        console: for progress.
    """

    def __init__(self, data: ImageData, facts: Facts, key: str, cache: Path, console: Console) -> None:
        self.data, self.facts, self.console = data, facts, console
        self.folder = cache / "judge" / key
        self._seen: dict[str, Tensor] = {}

    def features(self, space: Space, split: str, binary: bool = False) -> Tensor:
        """(N, d) float32 of `train`, `validation` or `test`, in a fixed random order.

        Args:
            binary: of the images with each value rounded to 0 or 1.
        """
        name = f"{space.hash[:16]}-{split}{'-binary' if binary else ''}"

        def make() -> dict[str, Tensor]:
            images = getattr(self.data, split)
            parts = (images.pixels(index) for index in shuffled(len(images)).split(CHUNK))
            parts = map(binarised, parts) if binary else parts
            what = f"{space.name} features of {len(images):,} {split} images"
            return {"features": space(parts, self.console, what, len(images))}

        if name not in self._seen:
            self._seen[name] = self.statistics(name, make)["features"]
        return self._seen[name]

    def images(self, split: str, most: int | None = None) -> Images:
        """Images of a split, in that order; the first `most`."""
        images = getattr(self.data, split)
        return images.take(shuffled(len(images))[:most])

    def labels(self, split: str) -> Tensor:
        """(N,) int64 of a split, in that order; -1 where there are none."""

        def make() -> dict[str, Tensor]:
            return {
                name: getattr(self.data, name).labels[shuffled(len(getattr(self.data, name)))]
                for name in ("train", "validation", "test")
            }

        return self.statistics("labels", make)[split]

    def to_train(self, space: Space, binary: bool = False) -> ToTrain:
        """How near real images lie to the training images, in a space."""

        def make() -> dict[str, Tensor]:
            train, test, held_out = (self.features(space, split, binary) for split in ("train", "test", "validation"))
            self.console.print(f"distances among {len(train):,} training images, once for this data", highlight=False)
            of_held_out, which = nearest(held_out, train)
            cells = min(max(1, len(test) // PER_CELL), len(train[:CLUSTERED]))
            kmeans = KMeans(cells, n_init=1, random_state=0).fit(train[:CLUSTERED].numpy())
            return ToTrain(
                train=nearest(train, train, same=True)[0][:, 0],
                test=nearest(test, train)[0][:, 0],
                held_out=of_held_out[:, 0],
                held_out_nearest=which[:, 0],
                centres=torch.from_numpy(kmeans.cluster_centers_),
            )._asdict()

        return ToTrain(**self.statistics(f"{space.hash[:16]}-to-train{'-binary' if binary else ''}", make))

    def statistics(self, name: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Whatever else is worth computing once for this data, under a name of its own."""
        return kept(self.folder / f"{name}-{VERSION}.safetensors", make)

    def network(self, name: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """The weights of a network that was trained on this data; the name says how."""
        return kept(self.folder / f"{name}.safetensors", make)


def binarised(pixels: Tensor) -> Tensor:
    """uint8 → the same with each value 0 or 255, whichever is nearer."""
    return (pixels > 127).to(torch.uint8) * 255


def is_binary(pixels: Tensor) -> bool:
    return bool(((pixels == 0) | (pixels == 255)).all())
