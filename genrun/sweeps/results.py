"""The results of a sweep: its runs, the outcome of each, and their metrics as mean ± standard deviation over the seeds."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from genrun.report.board import Board
from genrun.report.leaderboard import comparable, leaderboard
from genrun.report.tables import markdown
from genrun.runs.folder import FORMAT
from genrun.runs.summary import summaries
from genrun.sweeps.jobs import Outcome
from genrun.system.files import now, write_atomic, write_json


class SweepResults:
    """Collects the outcomes of a sweep's jobs, and writes results.json, results.md and results.csv in its folder.

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

    def finish(self) -> Board | None:
        """Write results.json, results.md and results.csv.

        Returns:
            The leaderboard of the finished runs; None if there are none.
        """
        found = [Path(outcome.run) for _, outcome in self.jobs.values() if outcome.state == "done" and outcome.run]
        runs, _ = summaries(dict.fromkeys(found))  # the command of a run that cannot be read says what is wrong with it
        done, _ = comparable(runs)
        board = Board(leaderboard(done)) if done else None
        self.write([line.record() for line in board.lines] if board else [])
        text = markdown("Jobs", ["", "job", "run", "state"], self.job_rows(), notes=True)
        if board:
            text += "\n" + board.as_text(".md", "Mean ± standard deviation")
            write_atomic(self.folder / "results.csv", board.as_text(".csv"))
        write_atomic(self.folder / "results.md", text)
        return board

    def job_rows(self) -> list[list[str]]:
        """Return a table row for each job: its number, name, run folder and state."""
        refused: dict[str, str] = {}
        return [
            [str(n), name, outcome.run, outcome.after(name, refused)]
            for n, (name, outcome) in sorted(self.jobs.items())
        ]
