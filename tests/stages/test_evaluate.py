"""The table of a finished run."""

from __future__ import annotations

import json

from conftest import QUICK


def test_without_held_out_images_there_is_a_table_and_a_look_but_no_distance_to_them(tiny):
    folder = tiny("data.validation=0", "evaluation=full", *QUICK, "trainer.max_epochs=1")
    (row,) = folder.metrics()
    assert "judge/label_accuracy" in row and "judge/frechet" not in row
    rows = {row["name"]: row for row in json.loads((folder.path / "results.json").read_text())["rows"]}
    assert "floor" not in rows["authenticity"] and "floor" in rows["label accuracy"]


def test_a_runs_table_holds_quality_memorisation_reconstruction_and_cost(run_folder):
    results = json.loads((run_folder.path / "results.json").read_text())
    names = [row["name"] for row in results["rows"]]
    for name in (
        "label accuracy",
        "variety within a class",
        "Fréchet distance (classifier)",
        "coverage (random)",
        "train on generated, test on real",
        "copying statistic C_T",
        "reconstruction, SSIM",
        "d on stored codes",
        "training, s",
    ):
        assert name in names
    assert results["evaluation"]["kernel_size"] == 1000
    assert "| Fréchet distance (random) ↓ |" in (run_folder.path / "results.md").read_text()
