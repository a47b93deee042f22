"""Hold finished runs against what a reproduction expects: a verdict on each number and each claim of a document."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from genrun.report.expectations import Claim, Expectations, Number, Quantity, Untested
from genrun.report.tables import number, with_deviation
from genrun.runs.folder import FORMAT
from genrun.runs.records import NUMBER, Form
from genrun.runs.summary import RunSummary

CONFIDENCE = 0.99  # with which new seeds of an unchanged method fall within the tolerance
ROUNDING = 1e-6  # relative: the same seed on the same machine gives the same number

AS_EXPECTED, OUTSIDE = "as expected", "outside"
HELD, NOT_HELD, UNTESTED = "held", "did not hold", "cannot be tested here"
NOT_RUN, NOT_MEASURED, ONE_SEED, OTHER_SETTINGS = "not run", "not measured before", "one seed", "other settings"

RECORD: Form = {  # the form of `<outputs>/reproductions/<target>.json`
    "target": str,
    "document": str,
    "runs": [str],
    "rows": [
        {
            **dict.fromkeys(("text", "source", "published", "expected", "got", "verdict", "note"), str),
            "unexpected": bool,
            "values": [NUMBER],
        }
    ],
    "figures": [dict.fromkeys(("source", "shows", "file", "origin", "beside"), str)],
}

Runs = Mapping[tuple[str, int], RunSummary]  # name and seed of a finished run → the run


@dataclass(frozen=True)
class Judged:
    """A row of a reproduction with its verdict.

    Args:
        text: the number or the claim.
        source: where the document has it.
        published: the document's value with its protocol; empty if it has none.
        expected: what is expected, in words.
        got: what the runs gave, in words.
        verdict: one of this module's verdicts.
        unexpected: whether the target fails because of this row.
        note: why ours differs from the document, why it cannot be tested, or what there is instead.
        values: of a number, by seed, as far as there are runs.
    """

    text: str
    source: str
    published: str
    expected: str
    got: str
    verdict: str
    unexpected: bool = False
    note: str = ""
    values: tuple[float, ...] = ()


def judge(expectations: Expectations, runs: Runs, spreads: Mapping[str, Spread], *, changed: bool) -> list[Judged]:
    """Return each row with its verdict.

    Args:
        runs: the finished runs.
        spreads: of each metric over seeds, for numbers with one seed.
        changed: whether the runs have other settings than expected: numbers are then not compared, and no row is unexpected.
    """

    def values(quantity: Quantity) -> list[float]:
        seeds = expectations.runs[quantity.run].seeds
        found = (value_of(runs[quantity.run, seed], quantity) for seed in seeds if (quantity.run, seed) in runs)
        return [value for value in found if value is not None]

    judged = []
    for row in expectations.rows:
        if isinstance(row, Untested):
            note = f"{row.reason} {row.evidence}".strip()
            judged.append(Judged(row.text, row.source, row.published, "–", "–", UNTESTED, note=note))
        elif isinstance(row, Number):
            judged.append(judge_number(row, values(row.quantity), spreads.get(row.quantity.metric), changed=changed))
        else:
            right = [row.right] if isinstance(row.right, float) else values(row.right)
            judged.append(judge_claim(row, values(row.left), right, changed=changed))
    return judged


def judge_number(row: Number, got: Sequence[float], spread: Spread | None, *, changed: bool) -> Judged:
    """Return the verdict on a number: whether the mean over seeds is within the tolerance of the expected one.

    Args:
        got: the values of the runs.
        spread: of the metric over seeds.
        changed: whether the runs have other settings than expected.
    """
    limit = tolerance(row.values, len(got), spread) if row.values and got else None
    away = abs(statistics.fmean(got) - statistics.fmean(row.values)) if row.values and got else 0.0
    if not got:
        verdict = NOT_RUN
    elif changed:
        verdict = OTHER_SETTINGS
    elif not row.values:
        verdict = NOT_MEASURED
    elif limit is None and away > rounding(row.values):
        verdict = ONE_SEED
    else:
        verdict = OUTSIDE if away > max(limit or 0.0, rounding(row.values)) else AS_EXPECTED
    expected = in_words(row.values)
    if limit is not None:
        expected = with_deviation(statistics.fmean(row.values), limit)
    return Judged(
        *(row.text, row.source, row.published, expected, in_words(got), verdict),
        unexpected=verdict == OUTSIDE,
        note=row.differs,
        values=tuple(got),
    )


def judge_claim(row: Claim, left: Sequence[float], right: Sequence[float], *, changed: bool) -> Judged:
    """Return the verdict on a claim, by the means over seeds.

    Args:
        left: values of the claim's left side, by seed.
        right: values of its right side.
        changed: whether the runs have other settings than expected.
    """
    expected = HELD if row.expected else NOT_HELD
    if not left or not right:
        return Judged(row.text, row.source, row.published, expected, "–", NOT_RUN, note=row.differs)
    mean, other = statistics.fmean(left), statistics.fmean(right)
    held = mean < other / row.factor - row.margin if row.below else mean > other * row.factor + row.margin
    verdict = HELD if held else NOT_HELD
    got = f"{in_words(left)} against {in_words(right)}"
    unexpected = verdict != expected and not changed
    return Judged(row.text, row.source, row.published, expected, got, verdict, unexpected, row.differs)


def value_of(run: RunSummary, quantity: Quantity) -> float | None:
    """Return a number of a run; None if it was not measured.

    Raises:
        Refused: metrics.csv is damaged.
    """
    if (row := run.rows.get(quantity.metric)) is not None:
        found = row.get("floor" if quantity.real else "value")
    else:
        rows = run.folder.metrics() if not quantity.real else []
        column = {one["epoch"]: one[quantity.metric] for one in rows if quantity.metric in one}
        found = column.get(quantity.epoch if quantity.epoch is not None else max(column, default=0))
    return float(found) if isinstance(found, int | float) and math.isfinite(found) else None


# ---------------------------------------------------------------------------------------------------------------- tolerance


@dataclass(frozen=True)
class Spread:
    """How much a metric spreads over seeds: the pooled standard deviation of numbers with several seeds.

    Args:
        deviation: of a value; relative to it if `relative`.
        freedom: degrees of freedom.
        relative: for metrics that are always positive.
    """

    deviation: float
    freedom: int
    relative: bool


def spreads_of(all_expectations: Iterable[Expectations]) -> dict[str, Spread]:
    """Return the spread of each metric over the seeds of all numbers that have several."""
    groups: dict[str, list[tuple[float, ...]]] = {}
    for expectations in all_expectations:
        for row in expectations.rows:
            if isinstance(row, Number) and len(row.values) > 1:
                groups.setdefault(row.quantity.metric, []).append(row.values)
    found = {}
    for metric, values in groups.items():
        relative = min(min(group) for group in values) > 0
        freedom = sum(len(group) - 1 for group in values)
        squares = sum(
            (len(group) - 1) * statistics.variance(group) / (statistics.fmean(group) ** 2 if relative else 1)
            for group in values
        )
        found[metric] = Spread(math.sqrt(squares / freedom), freedom, relative)
    return found


def tolerance(values: Sequence[float], n: int, spread: Spread | None) -> float | None:
    """Return how far the mean of n new seeds may be from that of the expected ones: the prediction interval of Student's t.

        t(m - 1) · s · √(1/m + 1/n)

    with the standard deviation s of the m expected values. For one value, s and the degrees of freedom are those of the metric's spread.

    Returns:
        The tolerance; None for one value of a metric without a spread.
    """
    from scipy.stats import t

    if len(values) > 1:
        deviation, freedom = statistics.stdev(values), len(values) - 1
    elif spread is not None:
        deviation, freedom = spread.deviation * (abs(values[0]) if spread.relative else 1), spread.freedom
    else:
        return None
    return float(t.ppf((1 + CONFIDENCE) / 2, freedom)) * deviation * math.sqrt(1 / len(values) + 1 / n)


def rounding(values: Sequence[float]) -> float:
    """Return what rounding alone may change."""
    return ROUNDING * max(map(abs, values))


# ------------------------------------------------------------------------------------------------------------------ words


def in_words(values: Sequence[float]) -> str:
    """Return the mean of values and their deviation; a dash if there are none."""
    if not values:
        return "–"
    mean = statistics.fmean(values)
    return with_deviation(mean, statistics.stdev(values)) if len(values) > 1 else number(mean)


def commands(expectations: Expectations) -> dict[str, str]:
    """Return the command of each run by its name; for several seeds, that of a sweep."""
    found = {}
    for run in expectations.runs.values():
        seeds = ",".join(map(str, run.seeds))
        if run.refits is None:
            found[run.name] = " ".join(["genrun", *(["-m"] if len(run.seeds) > 1 else []), *run.words, f"seed={seeds}"])
        else:
            found[run.name] = f"genrun refit RUN {' '.join(run.words)}   (RUN: each run of {run.refits})"
    return found


def record(
    expectations: Expectations, judged: Sequence[Judged], runs: Runs, figures: Sequence[Mapping[str, str]]
) -> dict[str, Any]:
    """Return the outcome of a reproduction for JSON, see `RECORD`.

    Args:
        figures: source, shows, beside, run, file and origin of each figure that there is.
    """
    return {
        "format": FORMAT,
        "target": expectations.name,
        "document": expectations.document,
        "commands": commands(expectations),
        "runs": [str(run.folder.path.resolve()) for run in runs.values()],
        "rows": [asdict(row) for row in judged],
        "figures": list(figures),
    }
