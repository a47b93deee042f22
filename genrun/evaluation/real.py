"""The real images of a data set as the judge sees them: computed once, then read from the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from rich.console import Console
from sklearn.cluster import KMeans
from torch import Tensor, nn

from genrun.callbacks.progress import counted
from genrun.data.images import Images, shuffled
from genrun.evaluation.cache import hash_of, kept
from genrun.evaluation.neighbours import nearest
from genrun.runs import digest
from genrun.types import Facts

if TYPE_CHECKING:
    from genrun.data.module import ImageData

VERSION = 1  # of what is kept, raised when it would come out otherwise
CHUNK = 500  # images that a network sees at a time
SHOWN = 10  # chunks; progress is shown of more
PER_CELL = 200  # test images in a cell of k-means, in which C_T compares like with like
CLUSTERED = 20_000  # training images that k-means looks at


class Space:
    """A frozen network whose outputs are compared in place of pixels.

    Args:
        name: what tables call it.
        network: (n, C, H, W) in [0, 1] → (n, num_features), by its method `features` where it has one.
        device: where it works; features come back to the CPU.
    """

    def __init__(self, name: str, network: nn.Module, device: torch.device) -> None:
        self.name = name
        # on a CPU convolutions are faster by a third with the channels last
        self.network = network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
        self.num_features: int = network.num_features
        self.device = device
        self.hash = hash_of(network)

    @torch.no_grad()
    def __call__(
        self, images: Tensor | Iterable[Tensor], console: Console | None = None, what: str = "", n: int = 0
    ) -> Tensor:
        """Images (n, C, H, W) uint8, or parts of them → features (n, d) float32 on the CPU.

        Args:
            what: said beside the progress, of more than some images.
            n: how many images there are, where they come in parts.
        """
        embed = getattr(self.network, "features", self.network)
        parts = images.split(CHUNK) if isinstance(images, Tensor) else images
        chunks = -(-(n or len(images)) // CHUNK)
        made = [torch.empty(0, self.num_features)]
        for part in counted(parts, chunks, what, console) if console and chunks > SHOWN else parts:
            floats = part.to(self.device).float().div_(255).contiguous(memory_format=torch.channels_last)
            made.append(embed(floats).float().cpu())
        return torch.cat(made)


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
        cache: folder of what is kept.
        console: for progress.
    """

    def __init__(self, data: ImageData, facts: Facts, cache: Path, console: Console) -> None:
        self.data, self.facts, self.console = data, facts, console
        chosen = [facts.plain(), data.classes, data.resize, data.limit, data.held_out]
        self.folder = cache / "judge" / digest(chosen, 16)
        self._seen: dict[tuple, Tensor] = {}

    def features(self, space: Space, split: str, binary: bool = False) -> Tensor:
        """(N, d) float32 of `train`, `validation` or `test`, in a fixed random order.

        Args:
            binary: of the images with each value rounded to 0 or 1.
        """
        name = f"{space.hash[:16]}-{split}{'-binary' * binary}"

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

    def to_train(self, space: Space) -> ToTrain:
        """How near real images lie to the training images, in a space."""

        def make() -> dict[str, Tensor]:
            train, test, held_out = (self.features(space, split) for split in ("train", "test", "validation"))
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

        return ToTrain(**self.statistics(f"{space.hash[:16]}-to-train", make))

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
