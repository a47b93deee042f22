"""Rows of distances between samples and real images in a feature space, each with its floor (the value of real images)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from genrun.evaluation.cache import as_tensors
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
    """Metrics that compare samples with real images in a feature space.

    Args:
        neighbours: k of precision, recall, density and coverage; None: without these metrics.
        kernel_draws: number of subsets for the kernel distance.
        kernel_size: images in a subset; at most half of the images are taken, because larger subsets would be nearly equal.
        at_infinity: add the Fréchet distance extrapolated to infinitely many samples.
        seed: seed of the subsets.
    """

    neighbours: int | None
    kernel_draws: int
    kernel_size: int
    at_infinity: bool
    seed: int

    def rows(self, real: RealImages, space: Space, samples: Tensor, binary: bool = False) -> list[Row]:
        """Return a row for each metric.

        Args:
            real: the real images.
            space: the feature space.
            samples: features (n, d) of the samples in this space.
            binary: compare with binarised real images.
        """
        n = len(samples)
        test, train = (real.features(space, split, binary) for split in ("test", "train"))
        name = f"{space.hash[:16]}-floor-{n}{'-binary' if binary else ''}-{digest([*vars(self).values()])}"
        floor = real.statistics(name, lambda: as_tensors(self.metrics(train[:n], test, train, to_train=test[:n])))
        ours = self.metrics(samples, test, train, to_train=samples)
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
                    None if stand_in == n or key in Manifold._fields or key not in floor else stand_in,
                    ours.get(f"±{key}"),
                    count=n,
                    protocol=self.protocol(key, n, len(test), len(train)),
                    note="" if key in ours else few + (f", k = {self.neighbours}" if key in Manifold._fields else ""),
                    best="high" if key in Manifold._fields else "low",
                )
            )
        return rows

    def metric_names(self) -> list[str]:
        """Return the names of the metrics in the order of the table."""
        infinity = [AT_INFINITY] if self.at_infinity else []
        return [TO_TEST, TO_TRAIN, *infinity, KERNEL, *(Manifold._fields if self.neighbours else ())]

    def protocol(self, key: str, samples: int, test: int, train: int) -> str:
        """Describe how the metric `key` is computed from these numbers of images."""
        if key == TO_TRAIN:
            return f"{samples:,} against {train:,} training images"
        if key == KERNEL:
            return f"{self.kernel_draws} draws of {self.subset_size(samples, test):,}"
        if key in Manifold._fields:
            return f"{min(samples, test):,} of each, k = {self.neighbours}"
        return f"{samples:,} against {test:,} test images"

    def subset_size(self, *counts: int) -> int:
        """Return the number of images in a subset for the kernel distance, for sets with these counts."""
        return max(2, min(self.kernel_size, min(counts) // 2))

    def kernel(self, samples: Tensor, reference: Tensor, draws: int | None = None) -> tuple[float, float]:
        """Return the kernel distance and its standard deviation over the draws.

        Raises:
            ValueError: fewer than two images in either set.
        """
        size, generator = self.subset_size(len(samples), len(reference)), seeded(self.seed)
        return kernel_distance(samples, reference, draws=draws or self.kernel_draws, size=size, generator=generator)

    def metrics(self, samples: Tensor, test: Tensor, train: Tensor, *, to_train: Tensor) -> dict[str, float]:
        """Compute the metrics by name, and standard deviations as ±name; a metric with too few images is left out.

        Args:
            samples, test, train: features.
            to_train: features compared with the training images: the samples, or real images that are not training images.
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
