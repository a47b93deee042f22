"""What a sweep leaves: which runs it has, what became of each, and their figures as mean ± standard deviation over the seeds."""

from __future__ import annotations

import contextlib
import json
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

from genrun.report.compare import distinguishing_options, option_text, sort_key
from genrun.report.tables import markdown, number
from genrun.runs.folder import FORMAT
from genrun.runs.open import open_run
from genrun.sweeps.jobs import Outcome
from genrun.system.files import now, write_atomic, write_json

SHOWN = {  # on the screen; heading of a column → name of a row of results.json
    "label accuracy": "label accuracy",
    "Fréchet": "Fréchet distance (classifier)",
    "random": "Fréchet distance (random)",
    "coverage": "coverage (classifier)",
    "authenticity": "authenticity",
    "C_T": "copying statistic C_T",
    "training, s": "training, s",
}


class SweepResults:
    """The folder of a sweep, `<outputs>/sweeps/<name>/`: results.json, results.md, and a log of each job.

    Args:
        folder: of the sweep; it exists.
        overrides: of the sweep, as they were given.
        keep: what an earlier start of the same sweep has written stays until more is known of a job.
    """

    def __init__(self, folder: Path, overrides: list[str], *, keep: bool) -> None:
        self.folder, self.overrides = folder, overrides
        self.jobs: dict[int, tuple[str, Outcome]] = {}  # number → what tells it from the others, what became of it
        self.groups: list[dict[str, Any]] = []
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            before = json.loads((folder / "results.json").read_text())
            if keep and before["overrides"] == overrides:
                for job in before["jobs"]:
                    outcome = Outcome(job["state"], job["error"], job["run"])
                    self.jobs[job["number"]] = (job["job"], outcome)
                self.groups = before["groups"]

    def add(self, job: int, described: str, outcome: Outcome, *, now: bool = True) -> None:
        """Keep what became of a job, on the disk as well when `now`: this process may be killed next."""
        self.jobs[job] = (described, outcome)
        if now:
            self.write(self.groups)

    def write(self, groups: list[dict[str, Any]]) -> None:
        jobs = [
            {"number": n, "job": described} | asdict(outcome) for n, (described, outcome) in sorted(self.jobs.items())
        ]
        content = {"format": FORMAT, "written": now(), "overrides": self.overrides, "jobs": jobs, "groups": groups}
        write_json(self.folder / "results.json", content)

    def close(self) -> list[dict[str, Any]]:
        """Write everything that is known, and return the groups."""
        found = groups(
            [Path(outcome.run) for _, outcome in self.jobs.values() if outcome.state == "done" and outcome.run]
        )
        self.write(found)
        text = markdown("Jobs", ["", "job", "run", "state"], self.job_lines(), notes=True)
        if found:
            names = list(dict.fromkeys(name for group in found for name in group["metrics"]))
            text += "\n" + markdown(
                "Mean ± standard deviation", *group_lines(found, {name: name for name in names}), notes=False
            )
        write_atomic(self.folder / "results.md", text)
        return found

    def job_lines(self) -> list[list[str]]:
        """Number, description, folder and state of each job."""
        return [
            [str(n), described, outcome.run, outcome.words] for n, (described, outcome) in sorted(self.jobs.items())
        ]


def groups(runs: list[Path]) -> list[dict[str, Any]]:
    """Finished runs that differ in their seed alone, together: what tells them from the others, and each figure's mean and deviation.

    The deviation is that of a sample, with n - 1 below the sum; a single run has none.
    """
    together: dict[str, dict[str, Path]] = {}  # configuration but for the seed → run by its own configuration
    for path in runs:
        status = json.loads((path / "status.json").read_text())
        together.setdefault(status["group_id"], {})[status["id"]] = path
    members = [[open_run(path) for path in group.values()] for group in together.values()]
    made = []
    for group, settings in zip(members, distinguishing_options([group[0].config for group in members]), strict=True):
        values: dict[str, list[float]] = {}
        for run in group:
            for row in run.results()["rows"]:
                if isinstance(row["value"], int | float):
                    values.setdefault(row["name"], []).append(row["value"])
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


def group_lines(found: list[dict[str, Any]], columns: dict[str, str]) -> tuple[list[str], list[list[str]]]:
    """Headings and lines of a table with a line for each group.

    Args:
        columns: heading → name of a figure; those that no group has are left out.
    """
    there = {heading: name for heading, name in columns.items() if any(name in group["metrics"] for group in found)}
    settings = list(found[0]["settings"])
    lines = [
        [
            *(option_text(group["settings"][key]) for key in settings),
            str(len(group["runs"])),
            *(spread(group["metrics"].get(name)) for name in there.values()),
        ]
        for group in found
    ]
    return [*settings, "runs", *there], lines


def spread(metric: dict[str, Any] | None) -> str:
    """Mean ± standard deviation, in words."""
    if metric is None:
        return "–"
    deviation = "" if metric["deviation"] is None else f" ± {metric['deviation']:.2g}"
    return f"{number(metric['mean'])}{deviation}"
