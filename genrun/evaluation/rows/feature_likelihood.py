"""Rows of the feature likelihood divergence (quality, variety and novelty in one number) and its generalisation gap (copying)."""

from __future__ import annotations

from torch import Tensor, cat

from genrun.evaluation.cache import as_tensors
from genrun.evaluation.features import Space
from genrun.evaluation.metrics.feature_likelihood import Likelihood, feature_likelihood
from genrun.evaluation.real import RealImages
from genrun.evaluation.rows.row import Row
from genrun.evaluation.spread import PARTS, deviation, parts_of
from genrun.system.console import say

DIVERGENCE, GAP = "feature likelihood divergence", "generalisation gap"
SAMPLES = 2000  # at most that have a Gaussian each: the time grows with their number
LEAST = 50  # samples, and test images


def likelihood_divergence_rows(real: RealImages, space: Space, samples: Tensor, binary: bool = False) -> list[Row]:
    """Return rows of the feature likelihood divergence and of the generalisation gap.

    Parts of the training images, in place of samples and fitted to the other training images, give the floor, from which the divergence
    is measured, and its spread.

    Args:
        real: the real images.
        space: the feature space.
        samples: features (n, d) of the samples in this space.
        binary: compare with binarised real images.
    """
    test, train = (real.features(space, split, binary) for split in ("test", "train"))
    m = min(len(samples), SAMPLES, len(train) // PARTS)
    names = [f"{name} ({space.name}{', binarised' if binary else ''})" for name in (DIVERGENCE, GAP)]
    if min(m, len(test)) < LEAST:
        return [
            Row(
                name,
                None,
                note=f"too few: {len(samples):,} samples, {len(test):,} test and {len(train):,} training images",
            )
            for name in names
        ]

    def of_real() -> dict[str, Tensor]:
        say(
            real.console,
            f"measuring the feature likelihood of real images in {space.name} features, once for this data",
        )
        found = [
            feature_likelihood(part, cat([train[: k * m], train[(k + 1) * m :]]), test)
            for k, part in enumerate(parts_of(train, m))
        ]
        gaps = [gap(one) for one in found]
        return as_tensors(
            {
                "test": sum(one.test for one in found) / PARTS,
                "±test": deviation([one.test for one in found]),
                "gap": sum(gaps) / PARTS,
                "±gap": deviation(gaps),
            }
        )

    name = f"{space.hash[:16]}-likelihood-divergence-{m}{'-binary' if binary else ''}"
    known = {key: value.item() for key, value in real.statistics(name, of_real).items()}
    found = feature_likelihood(samples[:m], train, test)
    protocol = f"{m:,} samples, {len(train):,} training and {len(test):,} test images"
    values = (found.test - known["test"], 0.0, known["±test"], "low"), (gap(found), known["gap"], known["±gap"], "real")
    notes = "in hundredths of a nat per feature", "far below real: copies"
    return [
        Row(name, value, floor, count=m, protocol=protocol, note=note, best=best, floor_spread=spread)
        for name, note, (value, floor, spread, best) in zip(names, notes, values, strict=True)
    ]


def gap(found: Likelihood) -> float:
    """Return the generalisation gap: negative log-likelihood of training images less that of test images."""
    return found.train - found.test
