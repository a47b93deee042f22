"""Rows of distances between samples and real images in a feature space, each with its floor (the value of real images)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from genrun.evaluation.cache import as_tensors
from genrun.evaluation.features import Space
from genrun.evaluation.metrics.cells import LEAST_IN_CELL, cell_statistics
from genrun.evaluation.metrics.frechet import frechet_at_infinity, frechet_distance, moments
from genrun.evaluation.metrics.kernel import kernel_distance
from genrun.evaluation.metrics.neighbours import Manifold, Neighbours, manifold
from genrun.evaluation.real import RealImages
from genrun.evaluation.rows.row import Row
from genrun.evaluation.spread import deviation, parts_of
from genrun.inference import seeded
from genrun.runs.identity import digest
from genrun.system.console import say

TO_TEST, TO_TRAIN, AT_INFINITY = "Fréchet distance", "Fréchet distance to training", "Fréchet distance at infinity"
KERNEL, CELLS = "kernel distance", "PQMass chi-square"
BY_NEIGHBOURS = tuple(name.replace("_", " ") for name in Manifold._fields)
MOST_CELLS, CELL_DRAWS = 100, 20  # of PQMass, as its authors'; each draw costs little, and one alone says little


@dataclass(frozen=True)
class Comparison:
    """Metrics that compare samples with real images in a feature space.

    Args:
        neighbours: k of precision, recall, density and coverage; None: without these metrics.
        kernel_draws: number of subsets for the kernel distance.
        kernel_size: images in a subset; at most half of the images are taken, because larger subsets would be nearly equal.
        at_infinity: add the Fréchet distance extrapolated to infinitely many samples.
        seed: seed of the subsets and of the cells.
    """

    neighbours: int | None
    kernel_draws: int
    kernel_size: int
    at_infinity: bool
    seed: int

    def rows(
        self,
        real: RealImages,
        space: Space,
        samples: Tensor,
        binary: bool = False,
        among_samples: Neighbours | None = None,
    ) -> list[Row]:
        """Return a row for each metric.

        Args:
            real: the real images.
            space: the feature space.
            samples: features (n, d) of the samples in this space.
            binary: compare with binarised real images.
            among_samples: the nearest neighbours of as many samples as are compared by neighbours, if they are known.
        """
        n = len(samples)
        test, train = (real.features(space, split, binary) for split in ("test", "train"))
        same = min(n, len(test))
        known = None
        if self.neighbours and same > self.neighbours:
            known = real.among(space, "test", same, self.neighbours, binary)
        name = f"{space.hash[:16]}-floor-{n}{'-binary' if binary else ''}-{digest([*vars(self).values(), *self.metric_names()])}"
        floor = real.statistics(
            name, lambda: as_tensors(self.metrics(train[:n], test, train, to_train=test[:n], among_real=known))
        )

        def of_draws() -> dict[str, Tensor]:
            say(
                real.console,
                f"measuring how much the metrics of real images spread in {space.name} features, once for this data",
            )
            return as_tensors(self.spreads(n, test, train))

        spreads = real.statistics(f"{name}-spread", of_draws)
        ours = self.metrics(samples, test, train, to_train=samples, among_samples=among_samples, among_real=known)
        where = f" ({space.name}{', binarised' if binary else ''})"
        few = f"too few: {n:,} samples, {len(test):,} test and {len(train):,} training images"
        rows = []
        for key in self.metric_names():
            stand_in = min(n, len(test if key == TO_TRAIN else train))
            rows.append(
                Row(
                    key + where,
                    ours.get(key),
                    floor[key].item() if key in floor else None,
                    None if stand_in == n or key in BY_NEIGHBOURS or key not in floor else stand_in,
                    ours.get(f"±{key}"),
                    count=n,
                    protocol=self.protocol(key, n, len(test), len(train)),
                    note="" if key in ours else few + (f", k = {self.neighbours}" if key in BY_NEIGHBOURS else ""),
                    best="high" if key in BY_NEIGHBOURS else "low",
                    floor_spread=spreads[key].item() if key in spreads else None,
                )
            )
        return rows

    def metric_names(self) -> list[str]:
        """Return the names of the metrics in the order of the table."""
        infinity = [AT_INFINITY] if self.at_infinity else []
        return [TO_TEST, TO_TRAIN, *infinity, KERNEL, CELLS, *(BY_NEIGHBOURS if self.neighbours else ())]

    def protocol(self, key: str, samples: int, test: int, train: int) -> str:
        """Describe how the metric `key` is computed from these numbers of images."""
        if key == TO_TRAIN:
            return f"{samples:,} against {train:,} training images"
        if key == KERNEL:
            return f"{self.kernel_draws} draws of {self.subset_size(samples, test):,}"
        if key == CELLS:
            cells = self.cells(samples, test)
            return f"{CELL_DRAWS} draws of {cells} cells; {cells - 1} if both come from one distribution"
        if key in BY_NEIGHBOURS:
            return f"{min(samples, test):,} of each, k = {self.neighbours}"
        return f"{samples:,} against {test:,} test images"

    def subset_size(self, *counts: int) -> int:
        """Return the number of images in a subset for the kernel distance, for sets with these counts."""
        return max(2, min(self.kernel_size, min(counts) // 2))

    def cells(self, *counts: int) -> int:
        """Return the number of cells of PQMass for sets with these counts; below 2 there are too few images."""
        return min(MOST_CELLS, min(counts) // LEAST_IN_CELL)

    def kernel(self, samples: Tensor, reference: Tensor, draws: int | None = None) -> tuple[float, float]:
        """Return the kernel distance and its standard deviation over the draws.

        Raises:
            ValueError: fewer than two images in either set.
        """
        size, generator = self.subset_size(len(samples), len(reference)), seeded(self.seed)
        return kernel_distance(samples, reference, draws=draws or self.kernel_draws, size=size, generator=generator)

    def metrics(
        self,
        samples: Tensor,
        test: Tensor,
        train: Tensor,
        *,
        to_train: Tensor,
        among_samples: Neighbours | None = None,
        among_real: Neighbours | None = None,
    ) -> dict[str, float]:
        """Compute the metrics by name, and standard deviations as ±name; a metric with too few images is left out.

        Args:
            samples, test, train: features.
            to_train: features compared with the training images: the samples, or real images that are not training images.
            among_samples, among_real: the nearest neighbours of the samples, and of the test images, that are compared by neighbours, if
                they are known.
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
        if (cells := self.cells(len(samples), len(test))) > 1:
            each = cell_statistics(samples, test, draws=CELL_DRAWS, cells=cells, generator=seeded(self.seed))
            result[CELLS], result[f"±{CELLS}"] = each.mean().item(), each.std().item()
        if self.neighbours and same > self.neighbours:
            # real images in place of the samples are fewer
            if among_real is not None and len(among_real.distances) != same:
                among_real = None
            found = manifold(samples[:same], test[:same], self.neighbours, among_samples, among_real)
            result |= dict(zip(BY_NEIGHBOURS, found, strict=True))
        return result

    def spreads(self, n: int, test: Tensor, train: Tensor) -> dict[str, float]:
        """Return the deviation of each metric over disjoint parts of real images, of n images each as far as there are enough.

        If the parts are smaller than the set that gives the floor, the deviation is scaled with the root of their ratio, as that of a
        mean; that of a Fréchet distance falls faster, so it is not underestimated.
        """
        of_train, of_test = parts_of(train, n), parts_of(test, n)
        each = [self.metrics(part, test, train, to_train=other) for part, other in zip(of_train, of_test, strict=True)]
        result = {}
        for key in self.metric_names():
            if (found := deviation([values.get(key) for values in each])) is None:
                continue
            part, whole = len(of_train[0]), min(n, len(train))
            if key == TO_TRAIN:
                part, whole = len(of_test[0]), min(n, len(test))
            if key in BY_NEIGHBOURS:
                part, whole = min(part, len(test)), min(whole, len(test))
            if key == CELLS:  # its deviation does not depend on the number of images, but on that of the cells
                part = whole
            result[key] = found * math.sqrt(part / whole)
        return result
