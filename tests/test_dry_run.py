"""`--dry-run` tells what would run."""

from __future__ import annotations

from conftest import TINY, genrun


def test_dry_run_prints_shapes_parameters_and_time_and_writes_nothing(here, monkeypatch, capsys):
    before = sorted(here.rglob("*"))
    assert genrun(*TINY, "--dry-run", monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "image (32, 1, 8, 8)" in shown and "parameters" in shown and ": new" in shown
    weights = (32 + 1) * 24 + (24 + 1) * 16 + (16 + 1) * 2
    assert f"{weights:,}" in shown
    assert "2 epochs of 7 steps" in shown
    assert shown.startswith(
        "data digits: 537 images of 1×8×8 (C×H×W): 200 to train, 137 held out, 200 to test; 10 classes: 0 "
    )
    assert "data.limit=200 of each split, counted after holding out" in shown.splitlines()[0]
    assert sorted(here.rglob("*")) == before
