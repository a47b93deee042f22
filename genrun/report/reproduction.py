"""Hold finished runs against what a reproduction expects: a verdict on each number and each claim of a document."""

from __future__ import annotations

import math
import os
import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genrun.errors import nearest
from genrun.report.expectations import HELD, NOT_HELD, Claim, Expectations, Number, Quantity, Untested
from genrun.report.seed_spread import Spread, allowance, spread_of
from genrun.report.tables import number, with_deviation
from genrun.runs.folder import FORMAT
from genrun.runs.records import NUMBER, Form
from genrun.runs.summary import RunSummary

LEVEL = 0.05  # probability that a number of an unchanged target lies outside, of all its numbers together
ROUNDING = 1e-6  # relative: the same seed on the same machine gives the same number

AS_EXPECTED, OUTSIDE = "as expected", "outside"
TOO_CLOSE, UNTESTED = "too close to tell", "cannot be tested here"  # beside HELD and NOT_HELD
NOT_RUN, NOT_MEASURED, NO_EXPECTATION = "not run", "not measured", "not measured before"
OTHER_SETTINGS, OF_MACHINE = "other settings", "depends on the machine"

RECORD: Form = {  # the form of `<outputs>/reproductions/<target>.json`
    "format": int,
    "target": str,
    "document": str,
    "changed": bool,
    "summary": str,
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
class JudgedRow:
    """A row of a reproduction with its verdict.

    Args:
        text: the number or the claim.
        source: where the document has it.
        published: the document's value with its protocol; empty if it has none.
        expected: what is expected, in words.
        got: what the runs gave, in words.
        verdict: one of this module's verdicts.
        unexpected: whether the target fails because of this row.
        note: why ours differs from the document, why it cannot be tested, what there is instead, or why there is no run.
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


class Verdicts:
    """Judges the rows of a target by its finished runs.

    Args:
        target: its expectations.
        runs: the finished runs.
        spreads: of each metric over seeds.
        changed: whether the runs have other settings than expected: numbers are then not compared, and no row is unexpected.
    """

    def __init__(self, target: Expectations, runs: Runs, spreads: Mapping[str, Spread], *, changed: bool) -> None:
        self.target, self.runs, self.spreads, self.changed = target, runs, spreads, changed
        compared = sum(isinstance(row, Number) and bool(row.values) for row in target.rows)
        self.level = LEVEL / max(1, compared)

    def rows(self) -> list[JudgedRow]:
        """Return each row with its verdict."""
        kinds = {Number: self.judge_number, Claim: self.judge_claim, Untested: self.judge_untested}
        return [kinds[type(row)](row) for row in self.target.rows]

    def judge_number(self, row: Number) -> JudgedRow:
        """Judge whether the mean over seeds is within the tolerance of the expected one."""
        got, limit, unexpected = self.values(row.quantity), 0.0, False
        if missing := self.missing(row.quantity):
            return self.without_numbers(row, in_words(row.values), missing)
        if row.values:
            mean = statistics.fmean(row.values)
            spread = spread_of(row.quantity.metric, self.spreads)
            limit = allowance([(mean, len(row.values), spread), (mean, len(got), spread)], self.level)
        if self.changed:
            verdict = OTHER_SETTINGS
        elif row.of_machine:
            verdict = OF_MACHINE
        elif not row.values:
            verdict = NO_EXPECTATION
        else:
            away = abs(statistics.fmean(got) - mean)
            unexpected = away > max(limit, ROUNDING * max(map(abs, row.values)))
            verdict = OUTSIDE if unexpected else AS_EXPECTED
        expected = in_words(row.values)
        if limit and not row.of_machine:
            expected = f"{number(mean)}, within {number(float(f'{limit:.2g}'))}"
        return JudgedRow(
            *(row.text, row.source, row.published, expected, self.got(row.quantity), verdict),
            unexpected=unexpected,
            note=row.differs,
            values=tuple(got),
        )

    def judge_claim(self, row: Claim) -> JudgedRow:
        """Judge a claim by the means over seeds. Near the border a verdict that is not the expected one says nothing."""
        sides = [row.left, *([row.right] if isinstance(row.right, Quantity) else [])]
        for side in sides:
            if missing := self.missing(side):
                return self.without_numbers(row, HELD if row.expected else NOT_HELD, missing)
        values = [self.values(side) for side in sides]
        left = statistics.fmean(values[0])
        right = row.right if isinstance(row.right, float) else statistics.fmean(values[1])
        scale = 1 / row.factor if row.below else row.factor
        border = right * scale - row.margin if row.below else right * scale + row.margin
        held = left < border if row.below else left > border
        noise = allowance(
            [
                (statistics.fmean(one) * (scale if place else 1), len(one), self.noise_of(side))
                for place, (side, one) in enumerate(zip(sides, values, strict=True))
            ],
            self.level,
        )
        verdict = HELD if held else NOT_HELD
        if held != row.expected and abs(left - border) <= noise:
            verdict = TOO_CLOSE
        unexpected = held != row.expected and verdict != TOO_CLOSE and not self.changed and not row.of_machine
        got = f"{self.got(row.left)} against {number(right) if isinstance(row.right, float) else self.got(row.right)}"
        expected = HELD if row.expected else NOT_HELD
        return JudgedRow(row.text, row.source, row.published, expected, got, verdict, unexpected, row.differs)

    def judge_untested(self, row: Untested) -> JudgedRow:
        """Return the row with its reason."""
        note = " ".join(filter(None, (row.reason, row.evidence, row.differs)))
        return JudgedRow(row.text, row.source, row.published, "–", "–", UNTESTED, note=note)

    def without_numbers(self, row: Number | Claim, expected: str, missing: str) -> JudgedRow:
        """Return a row that lacks a number: a run is missing, or finished without it, which is unexpected."""
        verdict = NOT_MEASURED if missing.startswith(NOT_MEASURED) else NOT_RUN
        reason = missing.removeprefix(verdict).strip()
        note = " ".join(filter(None, (reason, row.differs)))
        unexpected = verdict == NOT_MEASURED and not self.changed
        return JudgedRow(row.text, row.source, row.published, expected, "–", verdict, unexpected, note)

    # ---------------------------------------------------------------------------------------------------------- numbers

    def values(self, quantity: Quantity) -> list[float]:
        """Return a number by seed, as far as there are runs that have it."""
        seeds = self.target.runs[quantity.run].seeds
        found = (
            value_of(self.runs[quantity.run, seed], quantity) for seed in seeds if (quantity.run, seed) in self.runs
        )
        return [value for value in found if value is not None]

    def missing(self, quantity: Quantity) -> str:
        """Return why there is no number: `not run`, why it runs on request only, or `not measured`, with a hint if the name of the metric
        is unknown; empty if there is one."""
        run = self.target.runs[quantity.run]
        if not any((run.name, seed) in self.runs for seed in run.seeds):
            return f"On request: {run.on_request}." if run.on_request else NOT_RUN
        if self.values(quantity):
            return ""
        known = {name for (name, _), one in self.runs.items() if name == run.name for name in names_of(one)}
        unknown = quantity.metric not in known
        return NOT_MEASURED + (f" No metric {quantity.metric}{nearest(quantity.metric, known)}." if unknown else "")

    def noise_of(self, quantity: Quantity) -> Spread | None:
        return None if quantity.real else spread_of(quantity.metric, self.spreads)

    def got(self, quantity: Quantity) -> str:
        """Return a number in words, with how many of its seeds there are if some are missing."""
        values, seeds = self.values(quantity), self.target.runs[quantity.run].seeds
        partly = f" ({len(values)} of {len(seeds)} seeds)" if len(values) < len(seeds) else ""
        return f"{in_words(values)}{partly}"


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


def names_of(run: RunSummary) -> set[str]:
    """Return the names of the metrics of a run: rows of results.json and columns of metrics.csv."""
    return {*run.rows, *(name for row in run.folder.metrics() for name in row)}


# ------------------------------------------------------------------------------------------------------------------ words


def in_words(values: Sequence[float]) -> str:
    """Return the mean of values ± their standard deviation; a dash if there are none."""
    if not values:
        return "–"
    mean = statistics.fmean(values)
    mean = int(mean) if mean.is_integer() else mean  # such as parameters
    return with_deviation(mean, statistics.stdev(values)) if len(values) > 1 else number(mean)


def summary(judged: Sequence[JudgedRow], *, changed: bool = False) -> str:
    """Return how many rows are otherwise than expected, and how many have each verdict.

    Args:
        changed: whether the runs have other settings than expected.
    """
    verdicts = [said(row) for row in judged]
    wrong = sum(row.unexpected for row in judged)
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))
    head = "other settings than expected" if changed else f"{wrong or 'nothing'} otherwise than expected"
    return f"{head}: {counts}"


def said(row: JudgedRow) -> str:
    """Return a verdict in words: whether it is another one than expected."""
    return f"{row.verdict}, unexpectedly" if row.unexpected and row.verdict in (HELD, NOT_HELD) else row.verdict


def command_of(target: Expectations, run: str) -> str:
    """Return the command of a run of a target; for several seeds, that of a sweep."""
    expected = target.runs[run]
    seeds = ",".join(map(str, expected.seeds))
    if expected.refits is not None:
        return shlex.join(["genrun", "refit", "RUN", *expected.words])
    return shlex.join(["genrun", *(["-m"] if len(expected.seeds) > 1 else []), *expected.words, f"seed={seeds}"])


def record(
    target: Expectations,
    judged: Sequence[JudgedRow],
    runs: Runs,
    figures: Sequence[Mapping[str, str]],
    folder: Path,
    *,
    changed: bool,
) -> dict[str, Any]:
    """Return the outcome of a reproduction for JSON, see `RECORD`.

    Args:
        figures: source, shows, beside, run, file and origin of each figure that there is.
        folder: where the record will be; the runs are named from there, so that all of it may be moved.
        changed: whether the runs have other settings than expected.
    """
    return {
        "format": FORMAT,
        "target": target.name,
        "document": target.document,
        "changed": changed,
        "summary": summary(judged, changed=changed),
        "runs": [os.path.relpath(run.folder.path.resolve(), folder.resolve()) for run in runs.values()],
        "rows": [asdict(row) for row in judged],
        "figures": list(figures),
    }
