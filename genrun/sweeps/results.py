"""The results of a sweep: its runs, the outcome of each, and their metrics as mean ± standard deviation over the seeds."""

from __future__ import annotations

import contextlib
import json
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

from genrun.errors import Refused
from genrun.report.compare import distinguishing_options, option_text, sort_key
from genrun.report.tables import markdown, with_deviation
from genrun.runs.folder import FORMAT
from genrun.runs.open import OpenRun, open_run
from genrun.sweeps.jobs import Outcome
from genrun.system.files import now, write_atomic, write_json

SCREEN_METRICS = {  # heading of a column on the screen → name of a row of results.json
    "label accuracy": "label accuracy",
    "Fréchet": "Fréchet distance (classifier)",
    "random": "Fréchet distance (random)",
    "coverage": "coverage (classifier)",
    "authenticity": "authenticity",
    "C_T": "copying statistic C_T",
    "training, s": "training, s",
}
UNJUDGED_METRICS = {"score": "validation score", "sampling, s": "sampling, s", "memory, GiB": "peak memory, GiB"}


class SweepResults:
    """Collects the outcomes of a sweep's jobs, and writes results.json and results.md in its folder.

    Args:
        folder: of the sweep, `<outputs>/sweeps/<name>/`; it exists.
        overrides: of the sweep, as the user gave them.
        keep_earlier: keep the outcomes that an earlier start of the same sweep wrote, until a job has a new one.
    """

    def __init__(self, folder: Path, overrides: list[str], *, keep_earlier: bool) -> None:
        self.folder, self.overrides = folder, overrides
        self.jobs: dict[int, tuple[str, Outcome]] = {}  # number → name, outcome
        self.groups: list[dict[str, Any]] = []
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            before = json.loads((folder / "results.json").read_text())
            if keep_earlier and before["overrides"] == overrides:
                for job in before["jobs"]:
                    outcome = Outcome(job["state"], job["error"], job["run"])
                    self.jobs[job["number"]] = (job["job"], outcome)
                self.groups = before["groups"]

    def add(self, number: int, name: str, outcome: Outcome, *, save: bool = True) -> None:
        """Add the outcome of a job.

        Args:
            number: of the job.
            name: of the job, for the user.
            outcome: of the job.
            save: write results.json now, since this process may be killed at any time.
        """
        self.jobs[number] = (name, outcome)
        if save:
            self.write(self.groups)

    def write(self, groups: list[dict[str, Any]]) -> None:
        """Write results.json."""
        jobs = [{"number": n, "job": name} | asdict(outcome) for n, (name, outcome) in sorted(self.jobs.items())]
        content = {"format": FORMAT, "written": now(), "overrides": self.overrides, "jobs": jobs, "groups": groups}
        write_json(self.folder / "results.json", content)

    def finish(self) -> list[dict[str, Any]]:
        """Write results.json and results.md, and return the groups of runs that differ only in their seed."""
        found = groups(
            [Path(outcome.run) for _, outcome in self.jobs.values() if outcome.state == "done" and outcome.run]
        )
        self.write(found)
        text = markdown("Jobs", ["", "job", "run", "state"], self.job_rows(), notes=True)
        if found:
            names = list(dict.fromkeys(name for group in found for name in group["metrics"]))
            text += "\n" + markdown(
                "Mean ± standard deviation", *group_rows(found, {name: name for name in names}), notes=False
            )
        write_atomic(self.folder / "results.md", text)
        return found

    def job_rows(self) -> list[list[str]]:
        """Return a table row for each job: its number, name, run folder and state."""
        return [[str(n), name, outcome.run, outcome.description] for n, (name, outcome) in sorted(self.jobs.items())]


def groups(runs: list[Path]) -> list[dict[str, Any]]:
    """Group finished runs that differ only in their seed.

    Returns:
        For each group the options that differ between the groups, the seeds, the run folders, and the mean and standard
        deviation of each metric. The deviation is that of a sample, divided by n - 1; a single run has none.
    """
    together: dict[str, dict[str, Path]] = {}  # group_id (the configuration without its seed) → run id → run folder
    readable: dict[str, OpenRun] = {}
    for path in runs:
        with contextlib.suppress(Refused):  # its own command says what is wrong with it
            run = open_run(path)
            run.results(), run.metrics()
            readable[str(path)] = run
            together.setdefault(run.status["group_id"], {})[run.status["id"]] = path
    members = [[readable[str(path)] for path in group.values()] for group in together.values()]
    made = []
    for group, settings in zip(members, distinguishing_options([group[0].config for group in members]), strict=True):
        values: dict[str, list[float]] = {}
        for run in group:
            for row in run.results()["rows"]:
                if isinstance(row["value"], int | float):
                    values.setdefault(row["name"], []).append(row["value"])
            if (score := last_score(run.metrics())) is not None:
                values.setdefault("validation score", []).append(score)
        metrics = {
            name: {
                "mean": statistics.fmean(found),
                "deviation": statistics.stdev(found) if len(found) > 1 else None,
                "runs": len(found),
            }
            for name, found in values.items()
        }
        seeds = sorted(run.config.seed for run in group)
        made.append(
            {"settings": settings, "seeds": seeds, "runs": [str(run.folder.path) for run in group], "metrics": metrics}
        )
    return sorted(made, key=lambda group: sort_key(group["settings"]))


def last_score(rows: list[dict[str, Any]]) -> float | None:
    """Return the score on held-out images in the last row of metrics.csv that has one, as the last weights are judged; None: no row has."""
    scores = [
        value for row in rows for name, value in row.items() if name.startswith("val/") and name.endswith("score")
    ]
    return scores[-1] if scores else None


def screen_metrics(found: list[dict[str, Any]]) -> dict[str, str]:
    """Return the columns on the screen, heading → name of a metric: more of training and cost if the groups were not judged."""
    judged = any(
        name in group["metrics"] for group in found for name in SCREEN_METRICS.values() if name != "training, s"
    )
    return SCREEN_METRICS if judged else {"training, s": "training, s"} | UNJUDGED_METRICS


def group_rows(found: list[dict[str, Any]], columns: dict[str, str]) -> tuple[list[str], list[list[str]]]:
    """Return the headings and the rows of a table with one row for each group.

    Args:
        found: the groups.
        columns: heading → name of a metric. Metrics that no group has are left out.
    """
    present = {heading: name for heading, name in columns.items() if any(name in group["metrics"] for group in found)}
    settings = list(found[0]["settings"])
    rows = [
        [
            *(option_text(group["settings"][key]) for key in settings),
            str(len(group["runs"])),
            *(spread(group["metrics"].get(name)) for name in present.values()),
        ]
        for group in found
    ]
    return [*settings, "runs", *present], rows


def spread(metric: dict[str, Any] | None) -> str:
    """Format a metric of a group as `mean ± standard deviation`; `–` where the group has none."""
    if metric is None:
        return "–"
    return with_deviation(metric["mean"], metric["deviation"])
