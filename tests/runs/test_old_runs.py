"""Runs that genrun 0.1.0 left before its modules were moved: they are found, opened, judged, refitted, resumed and extended as before.

tests/old_runs holds three runs on scikit-learn's digits, made on the CPU: a finished CSGM, a finished autoencoder, and a CSGM that SIGTERM
stopped in its fourth epoch. Their pictures are one pixel each, to be small.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from rich.console import Console

from genrun.config.compose import compose
from genrun.inference import sample_chunks
from genrun.run import run
from genrun.runs.folder import RunFolder
from genrun.runs.open import open_run
from genrun.verbs import evaluate, refit

OLD_RUNS = Path(__file__).parents[1] / "old_runs"


@pytest.fixture
def old(tmp_path):
    """Unpack an old run: its name → its folder below tmp_path/outputs."""

    def unpack(name: str) -> RunFolder:
        with tarfile.open(OLD_RUNS / f"{name}.tar.gz") as archive:
            archive.extractall(tmp_path / "outputs", filter="data")
        (path,) = (tmp_path / "outputs").glob(f"*/{name}")
        return RunFolder(path)

    return unpack


DEFAULTS = {  # of that time, where they are others now
    "csgm": [
        "model.basis=0",
        "model.place_octaves=0",
        "model.place_scale=4.0",
        "model.output=linear",
        "model.code_start=noise",
        "model.code_noise=null",
        "model.code_rate=0.2",
        "model.code_scale=0.3",
        "model/prior=gaussian_unscaled",
    ]
}


def again(folder: RunFolder, *overrides: str) -> RunFolder:
    """Give the command of an old run again, with the defaults of that time and further overrides."""
    first = list(OmegaConf.load(folder.path / "overrides.yaml"))
    model = OmegaConf.load(folder.path / "config.yaml").model.name
    every = [*DEFAULTS.get(model, []), *first, f"paths.outputs={folder.path.parents[1]}", *overrides]
    return run(compose(every), every, Console(quiet=True))


@pytest.mark.parametrize("name", ["finished", "autoencoder"])
def test_a_finished_run_is_done(name, old):
    folder = old(name)
    before = folder.status()
    assert again(folder).path == folder.path
    assert folder.status() == before and before["state"] == "done"


@pytest.mark.parametrize("name", ["finished", "autoencoder"])
def test_a_finished_run_opens_and_draws_the_samples_that_it_left(name, old):
    opened = open_run(old(name).path)
    images, labels = opened.samples()
    ((drawn, asked),) = sample_chunks(opened.method(), 20, 0)
    assert asked.tolist() == labels.tolist()
    difference = drawn.permute(0, 2, 3, 1).numpy() * 255 - images
    assert np.abs(difference).mean() < 1  # another processor rounds otherwise


def test_a_finished_run_is_judged_again(old):
    folder = old("finished")
    was = folder.path.joinpath("results.json").read_text()
    assert evaluate.main([str(folder.path), "evaluation=none", "evaluation.reconstructions=20"]) == 0
    rows = {row["name"]: row["value"] for row in json.loads((folder.path / "results.json").read_text())["rows"]}
    assert 0 < rows["reconstruction, mean squared error"] < 1
    assert (folder.path / "results.old-1.json").read_text() == was


def test_a_finished_run_is_refitted(old):
    folder = old("autoencoder")
    assert refit.main([str(folder.path), "model/prior=mixture", "model.prior.components=2"]) == 0
    (other,) = (path for path in folder.path.parent.iterdir() if path != folder.path)
    assert RunFolder(other).status()["state"] == "done"
    assert "training" not in RunFolder(other).status()["stages"]
    assert json.loads((other / "provenance.json").read_text())["parent"] == "autoencoder"


def test_an_interrupted_run_goes_on_in_the_middle_of_its_epoch(old):
    folder = old("interrupted")
    before, weights = folder.metrics(), folder.last.read_bytes()
    assert len(before) == 3 and folder.status()["state"] == "interrupted"
    assert again(folder).path == folder.path
    status, rows = folder.status(), folder.metrics()
    assert status["state"] == "done" and [one["state"] for one in status["attempts"]] == ["interrupted", "done"]
    assert rows[:3] == before and [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert rows[3]["step"] == 4 * 246 and folder.last.read_bytes() != weights


def test_a_finished_run_is_extended(old):
    folder = old("finished")
    longer = again(folder, "trainer.max_epochs=3", "run.extend=true", "run.name=longer")
    assert longer.path != folder.path and longer.metrics()[:2] == folder.metrics() and len(longer.metrics()) == 3
    assert json.loads((longer.path / "provenance.json").read_text())["parent"] == "finished"
