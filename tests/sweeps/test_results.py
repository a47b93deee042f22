"""Means over seeds."""

from __future__ import annotations

import json
import statistics

import pytest
from conftest import TINY
from rich.console import Console

from genrun.config.compose import compose
from genrun.run import run
from genrun.sweeps.results import group_rows, groups, last_score, screen_metrics, spread


def test_seeds_are_grouped_by_what_else_was_asked(tmp_path):
    runs = []
    for overrides in (["seed=0"], ["seed=1"], ["seed=1", "model.pixels=9"]):
        every = [*TINY, *overrides, f"paths.outputs={tmp_path}"]
        runs.append(run(compose(every), every, Console(quiet=True)))
    one, three = groups([folder.path for folder in runs] + [runs[0].path])  # one of them twice
    assert one["settings"] == {"pixels": 8} and one["seeds"] == [0, 1] and three["seeds"] == [1]
    headings, _ = group_rows([one, three], screen_metrics([one, three]))  # nothing was judged
    assert headings == ["pixels", "runs", "training, s", "score", "sampling, s", "memory, GiB"]
    scores = [folder.metrics()[-1]["val/score"] for folder in runs[:2]]
    assert one["metrics"]["validation score"]["mean"] == pytest.approx(statistics.mean(scores))
    judged = [{"metrics": {"authenticity": {}, "training, s": {}}, "settings": {}, "runs": []}]
    assert "validation score" not in screen_metrics(judged).values()
    values = [
        next(
            row["value"]
            for row in json.loads((folder.path / "results.json").read_text())["rows"]
            if row["name"] == "training, s"
        )
        for folder in runs
    ]
    found = one["metrics"]["training, s"]
    assert found["mean"] == pytest.approx(statistics.mean(values[:2])) and found["runs"] == 2
    assert found["deviation"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert three["metrics"]["training, s"]["deviation"] is None
    assert spread({"mean": 2.0, "deviation": 0.125, "runs": 2}) == "2.00 ± 0.12"
    assert spread({"mean": 2.0, "deviation": None, "runs": 1}) == "2" and spread(None) == "–"


def test_the_score_is_that_of_the_last_weights_and_of_the_last_phase():
    assert last_score([{"epoch": 1, "val/score": 3.0}, {"epoch": 2, "val/score": 4.0}, {"epoch": 3}]) == 4.0
    assert last_score([{"val/classifier/score": 1.0}, {"val/decoder/score": 2.0, "train/decoder/loss": 9.0}]) == 2.0
    assert last_score([{"epoch": 1, "train/loss": 1.0}]) is None
