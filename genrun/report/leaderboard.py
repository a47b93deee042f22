"""The leaderboard: runs that differ only in their seed as one line, with the mean and the deviation of each metric."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from genrun.errors import Refused, nearest
from genrun.report.compare import distinguishing_options, option_text, sort_key
from genrun.report.groups import without_accents
from genrun.report.tables import with_deviation
from genrun.runs.find import DISTANCE, EARLIER_DISTANCE, has_number, of_earlier_judge
from genrun.runs.summary import RunSummary

JUDGED = {  # heading → metric: quality, then memorisation
    "label accuracy": "label accuracy",
    "Fréchet": DISTANCE,
    "Fréchet (random)": "Fréchet distance (random)",
    "coverage": "coverage (observer)",
    "authenticity": "authenticity",
    "C_T": "copying statistic C_T",
}
EARLIER = {  # of tables before the observer: columns of their own, because the values cannot be compared
    "Fréchet (classifier)": EARLIER_DISTANCE,
    "coverage (classifier)": "coverage (classifier)",
}
UNJUDGED = {"score": "validation score"}
SECONDS = "training, s"
COST = {
    SECONDS: SECONDS,
    "images/s": "images/s",
    "memory, GiB": "peak memory, GiB",
    "parameters": "parameters",
}
BEST = {SECONDS: "low", "sampling, s": "low", "peak memory, GiB": "low", "images/s": "high"}  # rows do not say it
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
        mean = round(self.mean) if self.mean.is_integer() else self.mean  # such as parameters
        return with_deviation(mean, self.deviation or None)


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

    def record(self) -> dict[str, Any]:
        """Return the line for JSON."""
        return {
            "settings": self.settings,
            "seeds": sorted(run.config["seed"] for run in self.runs),
            "runs": [str(run.folder.path) for run in self.runs],
            "metrics": {name: vars(metric) for name, metric in self.metrics.items()},
        }


def comparable(runs: Sequence[RunSummary]) -> tuple[list[RunSummary], list[str]]:
    """Return the finished runs that have a table, the newest of each id, and a line for each other run, which says why."""
    done, left_out = [], []
    seen: dict[str, RunSummary] = {}
    for run in sorted(runs, key=lambda run: run.started, reverse=True):
        try:
            if run.id in seen:
                left_out.append(f"{run.folder.path} (the same run as {seen[run.id].folder.path})")
            elif run.state == "done" and run.rows:
                if not is_judged(run):
                    run.folder.metrics()  # its score stands there; it may be damaged
                seen[run.id] = run
                done.append(run)
            else:
                reason = "it has no table of metrics" if run.state == "done" else run.state
                left_out.append(f"{run.folder.path} ({reason})")
        except Refused as error:
            left_out.append(str(error))
    return done, left_out


def leaderboard(runs: Sequence[RunSummary], *, by: Sequence[str] = (), each: bool = False) -> list[Line]:
    """Group runs, and return a line for each group, sorted by settings.

    Args:
        runs: finished runs, none of them twice: see `comparable`.
        by: dotted options; runs with the same values of these are a group. Empty: runs that differ only in their seed.
        each: a line for each run.

    Raises:
        Refused: no run has such an option.
    """
    for name in by:
        if all(run.option(name) is None for run in runs):
            raise Refused(f"--by {name}: no run has this option{nearest(name, ('model', 'data', 'seed'))}")
    if by and "data" not in by and len({run.data for run in runs}) > 1:
        by = [*by, "data"]  # values on different data have no common mean
    together: dict[Any, list[RunSummary]] = {}
    for run in runs:
        key: Any = str(run.folder.path) if each else str(run.status.get("group_id", run.id))
        together.setdefault(tuple(option_text(run.option(name)) for name in by) if by else key, []).append(run)
    groups = list(together.values())
    if by:
        settings = [{name: group[0].option(name) for name in by} for group in groups]
    else:
        settings = distinguishing_options([group[0].config for group in groups])
    if each:
        settings = [{"run": group[0].name, **one} for group, one in zip(groups, settings, strict=True)]
    elif not settings or not settings[0]:
        settings = [{"model": group[0].model, "data": group[0].data} for group in groups]
    lines = [Line(setting, group, metrics_of(group)) for setting, group in zip(settings, groups, strict=True)]
    return sorted(
        lines, key=lambda line: sort_key({key: value for key, value in line.settings.items() if key != "run"})
    )


def metrics_of(runs: Sequence[RunSummary]) -> dict[str, Metric]:
    """Return the mean and the deviation of each metric over runs."""
    values: dict[str, list[float]] = {}
    for run in runs:
        found = {name: run.value(name) for name in run.rows}
        found |= {"images/s": training_rate(run), "validation score": None if is_judged(run) else run.score}
        for name, value in found.items():
            if isinstance(value, int | float) and abs(value) < LARGEST:
                values.setdefault(name, []).append(value)
    return {
        name: Metric(statistics.fmean(found), statistics.stdev(found) if len(found) > 1 else None, len(found))
        for name, found in values.items()
    }


def is_judged(run: RunSummary) -> bool:
    return any(name in run.rows for name in (JUDGED | EARLIER).values())


def training_rate(run: RunSummary) -> float | None:
    """Return the training images per second; None if the run does not record them."""
    images, seconds = run.status.get("training_images"), run.status.get("training_seconds")
    return images / seconds if images and seconds else None


def floor_metrics(runs: Sequence[RunSummary]) -> dict[str, float]:
    """Return what real images get, where all runs have the same value of it but for rounding."""
    floors: dict[str, list[float]] = {}
    for run in runs:
        for name, row in run.rows.items():
            if "floor" in row:
                floors.setdefault(name, []).append(row["floor"])
    return {
        name: values[0]
        for name, values in floors.items()
        if all(math.isclose(value, values[0], rel_tol=1e-6, abs_tol=1e-9) for value in values)
    }


def wanted_columns(lines: Sequence[Line], asked: Sequence[str] = ()) -> dict[str, str]:
    """Return heading → metric of the columns to show.

    Args:
        asked: headings or names of metrics; empty: quality, memorisation and cost, as far as a line has them.

    Raises:
        Refused: no line has such a metric.
    """
    there = dict.fromkeys(name for line in lines for name in line.metrics)
    usual = {heading: name for heading, name in (JUDGED | EARLIER | UNJUDGED | COST).items() if name in there}
    known = {without_accents(name).lower(): name for name in [*there, *usual]}  # not every keyboard has an é
    found = {}
    for name in asked:
        if (meant := known.get(without_accents(name).lower())) is None:
            listed = ", ".join(f"'{one}'" for one in [*usual, *(one for one in there if one not in usual.values())])
            raise Refused(f"{name}: no run has this metric{nearest(name, [*usual, *there])}; there are {listed}")
        found[meant] = usual.get(meant, meant)
    return found or usual


def best_lines(lines: Sequence[Line], metric: str, floor: float | None) -> list[Line]:
    """Return the lines whose mean of a metric is best: highest, lowest, or nearest to that of real images.

    Empty if it is not known which values are good, or if all lines have the same.
    """
    have = [line for line in lines if metric in line.metrics]
    worth = {line_id: distance_to_best(line, metric, floor) for line_id, line in enumerate(have)}
    if len(have) < 2 or None in worth.values():
        return []
    least = min(worth.values())
    best = [line for line_id, line in enumerate(have) if worth[line_id] == least]
    return best if len(best) < len(have) else []


def distance_to_best(line: Line, metric: str, floor: float | None) -> float | None:
    """Return a number that is smaller the better a line is; None if it is not known which values of the metric are good."""
    kind = BEST.get(metric) or next((run.rows[metric].get("best", "") for run in line.runs if metric in run.rows), "")
    mean = line.metrics[metric].mean
    if kind == "real":
        return None if floor is None else abs(mean - floor)
    return {"low": mean, "high": -mean}.get(kind)


def ranked(lines: Sequence[Line], metric: str, floors: dict[str, float]) -> list[Line]:
    """Return the lines sorted by a metric, the best first; lines without it come last."""

    def rank(line: Line) -> float:
        if metric not in line.metrics:
            return float("inf")
        distance = distance_to_best(line, metric, floors.get(metric))
        return line.metrics[metric].mean if distance is None else distance

    return sorted(lines, key=rank)


def cautions(runs: Sequence[RunSummary]) -> list[str]:
    """Return what makes runs hard to compare: other data, or another judge."""
    found = []
    if len(data := sorted({run.data for run in runs})) > 1:
        found.append(f"these runs have different data ({', '.join(data)}): their distances cannot be compared")
    judged = [run for run in runs if is_judged(run)]
    earlier = [run for run in judged if of_earlier_judge(run)]
    if earlier and any(has_number(run, DISTANCE) for run in judged):
        found.append(
            f"{len(earlier)} of these {len(judged)} runs were judged by an earlier version, whose distances have columns of their own and "
            f"cannot be compared with new ones; judge them again, such as: genrun evaluate {earlier[0].folder.path}"
        )
    judges = {
        (run.data, of_earlier_judge(run), json.dumps(run.results.get("features"), sort_keys=True)) for run in judged
    }
    if len(judges) > len({known[:2] for known in judges}):
        found.append(
            "these runs were judged by different networks; `genrun evaluate RUN …` judges them by the same ones"
        )
    return found
