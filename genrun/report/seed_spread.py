"""How much a metric varies from seed to seed, and how far a new value may therefore be from an expected one."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from genrun.report.expectations import Expectations, Number

CONSTANT = "parameters"  # the metric that the configuration alone decides


@dataclass(frozen=True)
class Spread:
    """The standard deviation of a metric over seeds, pooled over all expected numbers that have several.

    Args:
        deviation: of a value; relative to the value if `relative`.
        freedom: degrees of freedom.
        relative: for a metric whose values are all positive.
    """

    deviation: float
    freedom: int
    relative: bool

    def of(self, value: float) -> float:
        """Return the standard deviation of a value."""
        return self.deviation * abs(value) if self.relative else self.deviation


def spreads_of(targets: Iterable[Expectations]) -> dict[str, Spread]:
    """Return the spread of each metric that no machine decides; a number that several rows or targets have counts once."""
    groups: dict[str, dict[tuple, tuple[float, ...]]] = {}
    for target in targets:
        for row in target.rows:
            if isinstance(row, Number) and len(row.values) > 1 and not row.of_machine:
                quantity = row.quantity
                key = (target.words(quantity.run), quantity.epoch)
                groups.setdefault(quantity.metric, {})[key] = row.values
    return {metric: pooled(list(values.values())) for metric, values in groups.items()}


def pooled(groups: Sequence[Sequence[float]]) -> Spread:
    """Return the pooled spread of groups of values, each of two or more seeds."""
    relative = min(min(group) for group in groups) > 0
    freedom = sum(len(group) - 1 for group in groups)
    squares = sum(
        (len(group) - 1) * statistics.variance(group) / (statistics.fmean(group) ** 2 if relative else 1)
        for group in groups
    )
    return Spread(math.sqrt(squares / freedom), freedom, relative)


def spread_of(metric: str, spreads: Mapping[str, Spread]) -> Spread | None:
    """Return the spread of a metric.

    A metric without one takes the widest relative spread of the same metric in other features, such as that of precision (observer) for
    precision (random), or else of all metrics. None: it does not vary, or nothing is known.
    """
    if metric == CONSTANT:
        return None
    if metric in spreads:
        return spreads[metric]
    relative = {name: spread for name, spread in spreads.items() if spread.relative}
    alike = [spread for name, spread in relative.items() if without_features(name) == without_features(metric)]
    return max(alike or relative.values(), key=lambda spread: spread.deviation, default=None)


def without_features(metric: str) -> str:
    """Return the name of a metric without the features in which it is measured."""
    return metric.rpartition(" (")[0] or metric


def allowance(parts: Sequence[tuple[float, int, Spread | None]], level: float) -> float:
    """Return how far a difference of means may be from its expectation: the prediction interval of Student's t.

        t(ν) √(Σ s² / n)

    Args:
        parts: value, number of seeds n and spread of each mean; ν is the least of their degrees of freedom.
        level: the probability that a difference without a cause lies outside.
    """
    from scipy.stats import t

    known = [(spread.of(value) ** 2 / n, spread.freedom) for value, n, spread in parts if spread is not None]
    if not known:
        return 0.0
    freedom = min(freedom for _, freedom in known)
    return float(t.ppf(1 - level / 2, freedom)) * math.sqrt(sum(square for square, _ in known))
