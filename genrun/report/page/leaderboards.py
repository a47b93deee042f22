"""The leaderboards of a page, one for each data set, and the charts over several runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from genrun.report.compare import distinguishing_options, option_text, short_names
from genrun.report.groups import group_of
from genrun.report.leaderboard import (
    SECONDS,
    Line,
    best_lines,
    cautions,
    comparable,
    floor_metrics,
    leaderboard,
    wanted_columns,
)
from genrun.report.page.charts import Chart, Series, title_of
from genrun.report.page.runs import ReportedRun
from genrun.report.tables import number
from genrun.report.verdict import number_in
from genrun.runs.find import distance_of

LONGEST = 40  # letters of a setting
SECTIONS = {"fidelity": "quality", "diversity": "quality", "memorisation": "memorisation", "cost": "cost"}
NO_ROWS = {"validation score": "quality", "images/s": "cost"}  # columns that are no rows of results.json
COMPARABLE = "judge/frechet"  # the term of metrics.csv that means the same for every method


@dataclass(frozen=True)
class Leaderboard:
    """The leaderboard of the finished runs on one data set.

    Args:
        data: its name.
        sections: name of each group of columns, and how many columns it has.
        columns: heading and metric of each column.
        floors: what real images get, a text for each column; empty if that is not known.
        rows: lines.
        charts: over all these runs.
        cautions: what makes these runs hard to compare.
    """

    data: str
    sections: list[tuple[str, int]]
    columns: list[tuple[str, str]]
    floors: list[str]
    rows: list[Row]
    charts: list[Chart]
    cautions: list[str]


@dataclass(frozen=True)
class Row:
    """A line of a leaderboard: its name, the runs behind it, and a cell for each column."""

    name: str
    runs: list[ReportedRun]
    cells: list[Cell]


@dataclass(frozen=True)
class Cell:
    """A value of the leaderboard: mean and deviation as texts, the number to sort by, and whether it is the best of its column."""

    text: str
    spread: str
    value: float | None
    best: bool


def leaderboards(runs: Sequence[ReportedRun]) -> list[Leaderboard]:
    """Return a leaderboard for each data set that has finished runs with a table: values on different data cannot be compared."""
    done, _ = comparable([run.summary for run in runs])
    paths = {summary.folder.path for summary in done}
    together: dict[tuple[str, str], list[ReportedRun]] = {}
    for run in (run for run in runs if run.summary.folder.path in paths):
        together.setdefault((run.summary.data, run.config["data"]["facts"]["checksum"]), []).append(run)
    return [leaderboard_of(members) for _, members in sorted(together.items())]


def leaderboard_of(runs: Sequence[ReportedRun]) -> Leaderboard:
    """Return the leaderboard of runs on the same data."""
    by_path = {run.summary.folder.path: run for run in runs}
    lines = leaderboard([run.summary for run in runs])
    columns = wanted_columns(lines, [])
    floors = floor_metrics([run.summary for run in runs])
    best = {metric: best_lines(lines, metric, floors.get(metric)) for metric in columns.values()}
    names = names_of(lines)
    named = [
        (
            name,
            [by_path[run.folder.path] for run in sorted(line.runs, key=lambda run: str(run.option("seed")))],
            line,
        )
        for name, line in zip(names, lines, strict=True)
    ]
    return Leaderboard(
        data=runs[0].summary.data,
        sections=[(name, len(list(members))) for name, members in groupby(columns.values(), section_of)],
        columns=list(columns.items()),
        floors=[number(floors[one]) if one in floors else "" for one in columns.values()] if floors else [],
        rows=[
            Row(name, members, [cell(line, metric, line in best[metric]) for metric in columns.values()])
            for name, members, line in named
        ],
        charts=[*early_looks(named), *against_time(named)],
        cautions=cautions([run.summary for run in runs]),
    )


def section_of(metric: str) -> str:
    """Return the heading above the column of a metric."""
    group = group_of(metric)
    return NO_ROWS.get(metric) or SECTIONS.get(group, group)


def cell(line: Line, metric: str, best: bool) -> Cell:
    value = line.metrics.get(metric)
    if value is None:
        return Cell("–", "", None, False)
    text, _, spread = str(value).partition(" ± ")
    return Cell(text, spread, value.mean, best)


def names_of(lines: Sequence[Line]) -> list[str]:
    """Return a name for each line: its model, and the options in which it differs from other lines of this model, or else its run.

    The columns of `genrun.report.board` name a line by the options in which all lines differ: in one text, these would be too many.
    """
    together: dict[str, list[int]] = {}
    for place, line in enumerate(lines):
        together.setdefault(line.runs[0].model, []).append(place)
    names = [""] * len(lines)
    for model, places in together.items():
        settings = distinguishing_options([lines[place].runs[0].config for place in places])
        keys = short_names(settings[0])
        for place, setting in zip(places, settings, strict=True):
            values = zip(keys, setting.values(), strict=True)
            names[place] = ", ".join([model, *(f"{key} {short(value)}" for key, value in values if value is not None)])
    count = Counter(names)
    return [
        f"{name}, {line.runs[0].name}" if count[name] > 1 else name for name, line in zip(names, lines, strict=True)
    ]


def short(value: Any) -> str:
    """Format a setting in a few letters; a long list or part is only named."""
    text = option_text(value)
    if len(text) <= LONGEST:
        return text
    return f"{len(value)} entries" if isinstance(value, list | dict) else f"{text[: LONGEST - 1]}…"


def early_looks(named: Sequence[tuple[str, list[ReportedRun], Line]]) -> list[Chart]:
    """Draw the early look of the judge over the epochs for all runs: a colour for each line of the leaderboard."""
    series = []
    distance = distance_of(run.summary for _, runs, _ in named for run in runs)
    for colour, (name, runs, _) in enumerate(named, start=1):
        for run in runs:
            if distance_of([run.summary]) != distance:  # an earlier judge looked
                continue
            looks = [(float(row["epoch"]), number_in(row, COMPARABLE)) for row in run.metrics]
            points = [(epoch, look) for epoch, look in looks if look is not None]
            if len(points) > 1:
                series.append(Series(f"{name} ({run.name})", colour, sorted(points), group=name))
    if len(series) < 2:
        return []
    return [Chart(title_of(COMPARABLE.partition("/")[2]), "epoch", "", series, wide=True)]


def against_time(named: Sequence[tuple[str, list[ReportedRun], Line]]) -> list[Chart]:
    """Draw the distance of each run against the time of its training."""
    distance = distance_of(run.summary for _, runs, _ in named for run in runs)
    series, labels = [], {}
    for colour, (name, runs, _) in enumerate(named, start=1):
        values = [
            (run, *(number_in(run.summary.rows.get(metric, {}), "value") for metric in (SECONDS, distance)))
            for run in runs
        ]
        points = [(run, x, y) for run, x, y in values if x is not None and y is not None]
        if points:
            series.append(Series(name, colour, [(x, y) for _, x, y in points]))
            labels[name] = [f"{name} ({run.name})" for run, _, _ in points]
    if sum(len(one.points) for one in series) < 2:
        return []
    return [Chart("Quality against time", "seconds of training", distance, series, wide=True, dots=True, labels=labels)]
