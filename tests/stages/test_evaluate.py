"""The table of a finished run."""

from __future__ import annotations

import json

import torch
from conftest import QUICK
from helpers.combining import Averages
from PIL import Image
from rich.console import Console

from genrun.config.compose import compose
from genrun.report.groups import METHOD, group_of
from genrun.report.verdict import verdict
from genrun.runs.open import open_run
from genrun.stages.evaluate import evaluate
from genrun.verbs.judges import config_to_judge_by, judge_of


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
        "Fréchet distance (observer)",
        "coverage (random)",
        "train on generated, test on real",
        "copying statistic C_T",
        "reconstruction, SSIM",
        "d on stored codes",
        "training, s",
    ):
        assert name in names
    assert results["evaluation"]["kernel_size"] == 1000
    (headline,) = (row for row in results["rows"] if row["name"] == "Fréchet distance (observer)")
    assert headline["note"].startswith("as far as real images blurred by ")
    with Image.open(run_folder.figures / "best_and_worst.png") as grid:
        assert grid.width > grid.height  # two rows of eight of the best, and two of the worst
    assert {row["name"] for row in results["rows"] if group_of(row["name"]) == METHOD} == {
        "d on stored codes",
        "d on fresh codes",
    }
    text = (run_folder.path / "results.md").read_text()
    assert "| Fréchet distance (random) ↓ |" in text and "| **memorisation** |" in text
    assert "hardly any of the variety" in verdict(results) and f"\n\n{verdict(results)}\n\n| metric |" in text
    assert text.count("\nnot measured: ") == 1 and "\nnot measured: Fréchet distance (Inception): " in text


class Classifying(Averages):
    """Also has a classifier: every image is a zero."""

    def classify(self, images):
        return torch.eye(self.num_classes)[torch.zeros(len(images), dtype=torch.int64)]


def test_a_method_that_combines_reconstructs_and_classifies_has_its_tables_and_plots(run_folder):
    """The run is CSGM's; the judge asks for capabilities only."""
    run = open_run(run_folder.path)
    asked = ["evaluation.combinations=150", "evaluation.blends=150", "evaluation.linear_probe=200"]
    words = [*QUICK[2:], *asked, "evaluation.mixed_training=[0,1]", "evaluation.reconstructions=140"]
    cfg = config_to_judge_by(run, compose(words))
    judge = judge_of(run, cfg, Console(quiet=True), trust=False)
    data = judge.real.data
    method = Classifying(data.train.images(torch.arange(200)), data.train.labels[:200])
    files = evaluate(run_folder, cfg, data, method, judge)
    results = json.loads((run_folder.path / "results.json").read_text())
    rows, tables = {row["name"]: row for row in results["rows"]}, results["tables"]
    zeros = (data.test.labels == 0).double().mean().item()
    assert rows["own classifier, accuracy"]["value"] == zeros
    assert rows["combinations of 2, averaged: own classifier, accuracy"]["floor"] == zeros
    assert (
        rows["linear probe of codes, accuracy"]["value"] > 0.8
        and rows["linear probe of codes, accuracy"]["count"] == 200
    )
    assert 0 < rows["code sparsity"]["value"] < 1
    assert rows["combinations of 2, averaged: label accuracy"]["spread"] >= 0
    assert len(tables["combinations"]) == 9 and tables["combinations"][1]["count"] == 140
    assert len(tables["blends"]) == 11 and tables["blends"][0]["count"] == 140  # no more than are reconstructed
    assert [line["share"] for line in tables["mixed training"]] == [0, 1]
    assert rows["mixed training, accuracy"]["value"] == tables["mixed training"][1]["accuracy"]
    text = (run_folder.path / "results.md").read_text()
    assert "# Combinations of codes" in text and "| combinations | 5 | averaged |" in text
    plots = [run_folder.figures / name for name in ("blends.png", "mixed_training.png")]
    assert files[2:] == [*plots, run_folder.figures / "best_and_worst.png"] and all(
        Image.open(plot).size[0] > 400 for plot in plots
    )


def test_a_methods_own_classifier_is_judged_without_a_reference_classifier(run_folder):
    run = open_run(run_folder.path)
    cfg = config_to_judge_by(run, compose(["evaluation=none"]))
    judge = judge_of(run, cfg, Console(quiet=True), trust=False)
    data = judge.real.data
    evaluate(run_folder, cfg, data, Classifying(data.train.images(torch.arange(200)), data.train.labels[:200]), judge)
    (row, *others) = json.loads((run_folder.path / "results.json").read_text())["rows"]
    assert row["name"] == "own classifier, accuracy" and "training, s" in [other["name"] for other in others]
