"""Distances between samples and real images in one space, each with its floor: what real images get in the samples' place."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from genrun.evaluation.cache import numbers
from genrun.evaluation.frechet import frechet_at_infinity, frechet_distance, moments
from genrun.evaluation.kernel import kernel_distance
from genrun.evaluation.neighbours import Manifold, manifold
from genrun.evaluation.real import RealImages, Space
from genrun.evaluation.rows import Row
from genrun.runs import digest
from genrun.sampling import seeded

TO_TEST, TO_TRAIN, AT_INFINITY = "Fréchet distance", "Fréchet distance to training", "Fréchet distance at infinity"
KERNEL = "kernel distance"


@dataclass(frozen=True)
class Comparison:
    """Which figures are computed.

    Args:
        neighbours: k of precision, recall, density and coverage; None: without them.
        kernel_draws: subsets for the kernel distance.
        kernel_size: images in one.
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
        name = f"{space.hash[:16]}-floor-{n}{'-binary' * binary}-{digest([*vars(self).values()])}"
        floor = real.statistics(name, lambda: numbers(self.figures(train[:n], test, train, to_train=test[:n])))
        ours = self.figures(samples, test, train, to_train=samples)
        rows = []
        for key in (key for key in self.names() if not key.startswith("±")):
            against = f"{n:,} against {len(train) if key == TO_TRAIN else len(test):,} {'training' if key == TO_TRAIN else 'test'} images"
            if key in Manifold._fields:
                against = f"{min(n, len(test)):,} of each, k = {self.neighbours}"
            where = f" ({space.name}{', binarised' * binary})"
            why = "" if key in ours else f"needs more than {space.num_features} real images"
            rows.append(
                Row(
                    key + where,
                    ours.get(key),
                    floor[key].item() if key in floor else None,
                    ours.get(f"±{key}"),
                    count=n,
                    protocol=against,
                    note=why,
                )
            )
        return rows

    def names(self) -> list[str]:
        """Of the figures, in the order of the table."""
        infinity = [AT_INFINITY] if self.at_infinity else []
        return [TO_TEST, TO_TRAIN, *infinity, KERNEL, *(Manifold._fields if self.neighbours else ())]

    def figures(self, samples: Tensor, test: Tensor, train: Tensor, *, to_train: Tensor) -> dict[str, float]:
        """Figures by name, and spreads as ±name; one that has too few images is left out.

        Args:
            samples, test, train: features.
            to_train: what is compared with the training images: the samples, or real images that are not among those.
        """
        result = {}
        d = samples.shape[1]
        if min(len(samples), len(test)) > d:
            reference = moments(test)
            result[TO_TEST] = frechet_distance(moments(samples), reference)
            if self.at_infinity and len(samples) // 2 > d:
                result[AT_INFINITY] = frechet_at_infinity(samples, reference, generator=seeded(self.seed))
        if min(len(to_train), len(train)) > d:
            result[TO_TRAIN] = frechet_distance(moments(to_train), moments(train))
        same = min(len(samples), len(test))
        size = max(2, min(self.kernel_size, same // 2))  # draws of all images would be one draw
        mean, spread = kernel_distance(samples, test, draws=self.kernel_draws, size=size, generator=seeded(self.seed))
        result |= {KERNEL: mean, f"±{KERNEL}": spread}
        if self.neighbours and same > self.neighbours:
            result |= manifold(samples[:same], test[:same], self.neighbours)._asdict()
        return result
