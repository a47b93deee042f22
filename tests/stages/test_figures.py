"""The figures that a run leaves."""

from __future__ import annotations

from PIL import Image


def test_a_run_that_is_judged_by_a_classifier_leaves_the_figure_and_one_that_is_not_leaves_none(tiny):
    # the samples are the same, only the judge comes to it
    assert not (tiny("sample.n=140").figures / "sorted.png").exists()
    folder = tiny("evaluation=quick", "evaluation.classifier.steps=20", "evaluation.epoch_samples=0", "sample.n=140")
    with Image.open(folder.figures / "sorted.png") as figure:
        assert figure.width > 10 * 96
    assert "figures/sorted.png" in folder.status()["stages"]["figures"]["outputs"]
