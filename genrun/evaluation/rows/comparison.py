"""Rows of distances between samples and real images in one space, each with its floor: what real images get in their place."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from genrun.evaluation.cache import numbers
from genrun.evaluation.features import Space
from genrun.evaluation.metrics.frechet import frechet_at_infinity, frechet_distance, moments
from genrun.evaluation.metrics.kernel import kernel_distance
from genrun.evaluation.metrics.neighbours import Manifold, manifold
from genrun.evaluation.real import RealImages
from genrun.evaluation.rows.row import Row
from genrun.inference import seeded
from genrun.runs.identity import digest

TO_TEST, TO_TRAIN, AT_INFINITY = "Fréchet distance", "Fréchet distance to training", "Fréchet distance at infinity"
KERNEL = "kernel distance"


@dataclass(frozen=True)
class Comparison:
    """Which figures are computed.

    Args:
        neighbours: k of precision, recall, density and coverage; None: without them.
        kernel_draws: subsets for the kernel distance.
        kernel_size: images in one; at most half of those there are, or several draws would be one.
        at_infinity: add the Fréchet distance extrapolated to infinitely many samples.
        seed: of the subsets.
    """

    neighbours: int | None
    kernel_draws: int
    kernel_size: int
    at_infinity: bool
    seed: int

    def rows(self, real: RealImages, space: Space, samples: Tensor, binary: bool = False) -> list[Row]:
        """A row for each figure.

        Args:
            samples: features (n, d) in that space.
            binary: compare with binarised real images.
        """
        n = len(samples)
        test, train = (real.features(space, split, binary) for split in ("test", "train"))
        name = f"{space.hash[:16]}-floor-{n}{'-binary' if binary else ''}-{digest([*vars(self).values()])}"
        floor = real.statistics(name, lambda: numbers(self.figures(train[:n], test, train, to_train=test[:n])))
        ours = self.figures(samples, test, train, to_train=samples)
        where = f" ({space.name}{', binarised' if binary else ''})"
        few = f"too few: {n:,} samples, {len(test):,} test and {len(train):,} training images"
        rows = []
        for key in self.names():
            stand_in = min(n, len(test if key == TO_TRAIN else train))
            rows.append(
                Row(
                    key + where,
                    ours.get(key),
                    floor[key].item() if key in floor else None,
                    None if stand_in == n or key in Manifold._fields or key not in floor else stand_in,
                    ours.get(f"±{key}"),
                    count=n,
                    protocol=self.protocol(key, n, len(test), len(train)),
                    note="" if key in ours else few + (f", k = {self.neighbours}" if key in Manifold._fields else ""),
                    best="high" if key in Manifold._fields else "low",
                )
            )
        return rows

    def names(self) -> list[str]:
        """Of the figures, in the order of the table."""
        infinity = [AT_INFINITY] if self.at_infinity else []
        return [TO_TEST, TO_TRAIN, *infinity, KERNEL, *(Manifold._fields if self.neighbours else ())]

    def protocol(self, key: str, samples: int, test: int, train: int) -> str:
        """What is compared with what, from their numbers."""
        if key == TO_TRAIN:
            return f"{samples:,} against {train:,} training images"
        if key == KERNEL:
            return f"{self.kernel_draws} draws of {self.draw(samples, test):,}"
        if key in Manifold._fields:
            return f"{min(samples, test):,} of each, k = {self.neighbours}"
        return f"{samples:,} against {test:,} test images"

    def draw(self, *counts: int) -> int:
        """Images in a draw of the kernel distance."""
        return max(2, min(self.kernel_size, min(counts) // 2))

    def kernel(self, samples: Tensor, reference: Tensor, draws: int | None = None) -> tuple[float, float]:
        """The kernel distance and its spread.

        Raises:
            ValueError: fewer than two images of either.
        """
        size, generator = self.draw(len(samples), len(reference)), seeded(self.seed)
        return kernel_distance(samples, reference, draws=draws or self.kernel_draws, size=size, generator=generator)

    def figures(self, samples: Tensor, test: Tensor, train: Tensor, *, to_train: Tensor) -> dict[str, float]:
        """Figures by name, and spreads as ±name; one that has too few images is left out.

        Args:
            samples, test, train: features.
            to_train: what is compared with the training images: the samples, or real images that are not among those.
        """
        result = {}
        d = samples.shape[1]
        same = min(len(samples), len(test))
        if same > d:
            reference = moments(test)
            result[TO_TEST] = frechet_distance(moments(samples), reference)
            if self.at_infinity and len(samples) // 2 > d:
                result[AT_INFINITY] = frechet_at_infinity(samples, reference, generator=seeded(self.seed))
        if min(len(to_train), len(train)) > d:
            result[TO_TRAIN] = frechet_distance(moments(to_train), moments(train))
        if same > 1:
            result[KERNEL], result[f"±{KERNEL}"] = self.kernel(samples, test)
        if self.neighbours and same > self.neighbours:
            result |= manifold(samples[:same], test[:same], self.neighbours)._asdict()
        return result
