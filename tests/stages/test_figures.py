"""The figures that a run leaves."""

from __future__ import annotations

import io
import os
from types import SimpleNamespace

import numpy as np
from PIL import Image
from rich.console import Console

from genrun.runs.folder import RunFolder
from genrun.stages import figures as stage
from genrun.stages.figures import Drawing, first_codes, is_picture


def test_a_run_that_is_judged_by_a_classifier_leaves_the_figure_and_one_that_is_not_leaves_none(tiny):
    # the samples are the same, only the judge comes to it
    assert not (tiny("sample.n=140", "run.figures=true").figures / "sorted.png").exists()
    folder = tiny(
        *(
            "evaluation=quick",
            "evaluation.classifier.steps=20",
            "evaluation.observer.steps=20",
            "evaluation.epoch_samples=0",
            "sample.n=140",
        ),
        "run.figures=true",
    )
    with Image.open(folder.figures / "sorted.png") as figure:
        assert figure.width > 10 * 96
    assert "figures/sorted.png" in folder.status()["stages"]["figures"]["outputs"]


def test_a_run_of_one_epoch_has_no_figures_of_what_changed(tiny):
    made = {path.name for path in tiny("trainer.max_epochs=1", "run.figures=true").figures.iterdir()}
    assert not made & {"curves.png", "timelapse.gif", "first_last.png", "codes.png"}
    assert made >= {"closest_samples.png", "resolution.png", "codes_first.npz"}


def test_the_first_and_the_last_grid_name_their_rows_if_they_are_of_classes(run_folder):
    sizes = {}
    for name in ("samples/epoch_0001.png", "figures/first_last.png"):
        with Image.open(run_folder.path / name) as figure:
            sizes[name] = figure.width
    bare = 2 * sizes["samples/epoch_0001.png"] + 3 * 14  # two grids and the margins of `beside`
    assert sizes["figures/first_last.png"] > bare + 12


def test_damaged_grids_and_codes_are_left_out(tmp_path):
    Image.effect_noise((64, 64), 50).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:1000])
    (tmp_path / "text.png").write_bytes(b"no picture")
    os.mkfifo(tmp_path / "pipe.png")
    assert [is_picture(tmp_path / f"{name}.png") for name in ("whole", "cut", "text", "pipe", "gone")] == [True] + 4 * [
        False
    ]
    np.savez(tmp_path / "codes.npz", codes=np.zeros(3), index=np.arange(3))
    assert first_codes(tmp_path / "codes.npz")["index"].tolist() == [0, 1, 2]
    (tmp_path / "cut.npz").write_bytes((tmp_path / "codes.npz").read_bytes()[:100])
    assert first_codes(tmp_path / "cut.npz") is None and first_codes(tmp_path / "gone.npz") is None


def test_the_screen_says_which_figures_are_drawn(tmp_path, monkeypatch):
    def drawing(*names: str, fits: bool = True) -> Drawing:
        return Drawing(names, lambda *_: fits, lambda _: {f"{name}.png": name.encode() for name in names})

    monkeypatch.setattr(stage, "DRAWINGS", (drawing("a"), drawing("b", "c"), drawing("d", fits=False), drawing("e")))
    console = Console(file=(file := io.StringIO()), force_terminal=True, width=120)
    context = SimpleNamespace(folder=RunFolder(tmp_path), method=None, cfg=None, console=console)
    (tmp_path / "figures").mkdir()
    assert [path.name for path in stage.figures(context, only=["a", "b", "d"])] == ["a.png", "b.png"]
    assert (tmp_path / "figures/b.png").read_bytes() == b"b"
    shown = file.getvalue()
    assert shown.index("drawing figures: a") < shown.index("drawing figures: b, c")
    assert "figures: d" not in shown and "figures: e" not in shown


def test_nothing_is_said_where_no_figure_is_drawn(tmp_path, monkeypatch):
    nothing = Drawing(("a",), lambda *_: False, lambda _: {})
    monkeypatch.setattr(stage, "DRAWINGS", (nothing,))
    context = SimpleNamespace(
        folder=RunFolder(tmp_path), method=None, cfg=None, console=Console(file=(file := io.StringIO()))
    )
    assert stage.figures(context) == [] and file.getvalue() == ""
