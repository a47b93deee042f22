"""What a sweep leaves behind: its jobs, and means over seeds."""

from __future__ import annotations

import csv
import json

import pytest
from helpers.runs import some_run

from genrun.sweeps.jobs import Outcome
from genrun.sweeps.results import SweepResults


def test_seeds_are_grouped_by_what_else_was_asked(tmp_path):
    results = SweepResults(tmp_path, ["model=vae,gan"], keep_earlier=False)
    runs = [some_run(tmp_path, f"v{seed}", model="vae", seed=seed, frechet=1.0 + seed) for seed in (0, 1)]
    runs.append(some_run(tmp_path, "g0", model="gan", frechet=5.0))
    for number, run in enumerate([*runs, runs[0]]):  # one of them twice
        results.add(number, run.path.name, Outcome("done", "", str(run.path)))
    results.add(9, "broken", Outcome("done", "", str(tmp_path / "nowhere")))
    board = results.finish()
    assert [line.settings for line in board.lines] == [{"model": "gan"}, {"model": "vae"}]
    gan, vae = json.loads((tmp_path / "results.json").read_text())["groups"]
    found = vae["metrics"]["Fréchet distance (observer)"]
    assert vae["seeds"] == [0, 1] and found == {"mean": 1.5, "deviation": pytest.approx(0.5**0.5), "runs": 2}
    assert gan["metrics"]["Fréchet distance (observer)"]["deviation"] is None
    assert "| vae | 2 | **1.50 ± 0.71** |" in (tmp_path / "results.md").read_text()
    with open(tmp_path / "results.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == ["gan", "vae"] and float(rows[1]["Fréchet distance (observer)"]) == 1.5


def test_a_sweep_without_a_finished_run_has_no_leaderboard(tmp_path):
    results = SweepResults(tmp_path, ["seed=0"], keep_earlier=False)
    results.add(0, "seed=0", Outcome("failed", "NaN", ""))
    assert results.finish() is None and not (tmp_path / "results.csv").exists()
    assert "failed" in (tmp_path / "results.md").read_text()
