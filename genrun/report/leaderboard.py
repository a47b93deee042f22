"""The leaderboard: runs that differ only in their seed as one line, with the mean and the deviation of each metric."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from genrun.errors import Refused, nearest
from genrun.report.compare import distinguishing_options, option_text, sort_key
from genrun.report.tables import with_deviation
from genrun.runs.find import RunSummary

COLUMNS = {  # heading → metric: quality, then memorisation, then cost
    "label accuracy": "label accuracy",
    "Fréchet": "Fréchet distance (classifier)",
    "random": "Fréchet distance (random)",
    "coverage": "coverage (classifier)",
    "authenticity": "authenticity",
    "C_T": "copying statistic C_T",
    "training, s": "training, s",
    "images/s": "images/s",
    "memory, GiB": "peak memory, GiB",
    "parameters": "parameters",
}


LARGEST = 1e300  # numbers beyond have no mean; NaN is none either


@dataclass(frozen=True)
class Metric:
    """A metric of a line.

    Args:
        mean: over the runs.
        deviation: standard deviation of a sample, divided by n - 1; None for a single run.
        runs: how many runs have it.
    """

    mean: float
    deviation: float | None
    runs: int

    def __str__(self) -> str:
        return with_deviation(self.mean, self.deviation)


@dataclass(frozen=True)
class Line:
    """A line of the leaderboard.

    Args:
        settings: the options in which the lines differ.
        runs: the runs behind it.
        metrics: the name of a row of results.json → its metric.
    """

    settings: dict[str, Any]
    runs: list[RunSummary]
    metrics: dict[str, Metric]


def leaderboard(runs: Sequence[RunSummary], *, by: Sequence[str] = (), each: bool = False) -> list[Line]:
    """Group runs, and return a line for each group, sorted by settings.

    Args:
        runs: finished runs.
        by: dotted options; runs with the same values of these are a group. Empty: runs that differ only in their seed.
        each: a line for each run.

    Raises:
        Refused: no run has such an option.
    """
    together: dict[Any, list[RunSummary]] = {}
    for run in {str(run.folder.path.resolve()): run for run in runs}.values():
        key: Any = str(run.folder.path) if each else str(run.status.get("group_id", run.id))
        together.setdefault(tuple(option_text(run.option(name)) for name in by) if by else key, []).append(run)
    for name in by:
        if all(run.option(name) is None for run in runs):
            raise Refused(f"--by {name}: no run has this option{nearest(name, ('model', 'data', 'seed'))}")
    groups = list(together.values())
    settings = (
        [{name: group[0].option(name) for name in by} for group in groups]
        if by
        else distinguishing_options([group[0].config for group in groups])
    )
    lines = [Line(setting, group, metrics_of(group)) for setting, group in zip(settings, groups, strict=True)]
    return sorted(lines, key=lambda line: sort_key(line.settings))


def metrics_of(runs: Sequence[RunSummary]) -> dict[str, Metric]:
    """Return the mean and the deviation of each metric over runs; a run judged twice at one seed counts once."""
    values: dict[str, list[float]] = {}
    for run in {run.id: run for run in runs}.values():
        for name, value in {**{name: row["value"] for name, row in run.rows.items()}, "images/s": rate(run)}.items():
            if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST:
                values.setdefault(name, []).append(value)
    return {
        name: Metric(statistics.fmean(found), statistics.stdev(found) if len(found) > 1 else None, len(found))
        for name, found in values.items()
    }


def rate(run: RunSummary) -> float | None:
    """Return the training images per second; None if the run does not record them."""
    images, seconds = run.status.get("training_images"), run.status.get("training_seconds")
    return images / seconds if images and seconds else None


def floor_metrics(runs: Sequence[RunSummary]) -> dict[str, float]:
    """Return what real images get, where all runs have the same value of it."""
    floors: dict[str, set[float]] = {}
    for run in runs:
        for name, row in run.rows.items():
            if isinstance(row.get("floor"), int | float):
                floors.setdefault(name, set()).add(row["floor"])
    return {name: values.pop() for name, values in floors.items() if len(values) == 1}


def wanted_columns(lines: Sequence[Line], asked: Sequence[str]) -> dict[str, str]:
    """Return heading → metric of the columns to show.

    Args:
        asked: headings or names of metrics; empty: those of `COLUMNS` that a line has.

    Raises:
        Refused: no line has such a metric.
    """
    there = dict.fromkeys(name for line in lines for name in line.metrics)
    if not asked:
        return {heading: name for heading, name in COLUMNS.items() if name in there}
    for name in asked:
        if COLUMNS.get(name, name) not in there:
            raise Refused(f"{name}: no run has this metric{nearest(name, [*COLUMNS, *there])}; there are {', '.join(there)}")
    return {name: COLUMNS.get(name, name) for name in asked}


def best_lines(lines: Sequence[Line], metric: str, floor: float | None) -> list[Line]:
    """Return the lines whose mean of a metric is best: highest, lowest, or nearest to that of real images; empty if unknown."""
    have = [line for line in lines if metric in line.metrics]
    kinds = {row.get("best", "") for line in have for run in line.runs for row in [run.rows.get(metric, {})]}
    kind = "low" if metric in ("training, s", "peak memory, GiB") else "high" if metric == "images/s" else kinds.pop() if kinds else ""
    if len(have) < 2 or not kind or (kind == "real" and floor is None):
        return []
    worth = {"low": lambda mean: -mean, "high": lambda mean: mean, "real": lambda mean: -abs(mean - (floor or 0))}[kind]
    most = max(worth(line.metrics[metric].mean) for line in have)
    return [line for line in have if worth(line.metrics[metric].mean) == most]
