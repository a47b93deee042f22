"""What a run leaves in its folder, and the checkpoints that it keeps."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY
from helpers.runs import change_json, unpack
from omegaconf import OmegaConf
from rich.console import Console
from safetensors.torch import load_file

from genrun.config.compose import compose
from genrun.errors import Refused
from genrun.run import run
from genrun.runs import folder as runs


def test_a_finished_run_leaves_the_whole_folder(tiny):
    folder = tiny("trainer.max_epochs=3", "run.figures=true")
    there = {str(path.relative_to(folder.path)) for path in folder.path.rglob("*") if path.is_file()}
    assert there >= {
        *("config.yaml", "overrides.yaml", "provenance.json", "status.json", "log.txt", "metrics.csv"),
        *("checkpoints/last.ckpt", "checkpoints/best.ckpt", "model.safetensors", "results.json", "results.md"),
        *(f"samples/epoch_000{epoch}.png" for epoch in (1, 2, 3)),
        *("samples/final.png", "samples.npz", "figures/timelapse.gif", "figures/curves.png", "figures/first_last.png"),
        *("figures/resolution.png", "figures/zoom.gif", "figures/codes.png"),
    }
    assert not [name for name in there if name.endswith(".tmp")]
    samples = np.load(folder.path / "samples.npz")
    assert samples["images"].dtype == np.uint8 and samples["images"].shape == (30, 8, 8, 1)
    assert samples["labels"].dtype == np.int64 and np.bincount(samples["labels"]).tolist() == [3] * 10
    rows = folder.metrics()
    assert [row["epoch"] for row in rows] == [1, 2, 3] and [row["step"] for row in rows] == [7, 14, 21]
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    best = torch.load(folder.best, weights_only=True)
    assert best["epoch"] == min(range(3), key=lambda k: rows[k]["val/score"])
    last = torch.load(folder.last, weights_only=True)
    for name, value in load_file(folder.weights).items():
        if not name.startswith("prior."):  # fitted afterwards
            assert torch.equal(value, last["state_dict"][name]), name
    provenance = json.loads((folder.path / "provenance.json").read_text())
    assert provenance["seed"] == 0 and provenance["machine"]["threads"] == torch.get_num_threads()
    assert provenance["versions"]["torch"] == torch.__version__.partition("+")[0]
    status = folder.status()
    assert list(status["stages"]) == ["fit", "refit", "sample", "figures", "evaluate"] and status["state"] == "done"
    assert OmegaConf.load(folder.path / "config.yaml").data.facts.train_size == 200


# ---------------------------------------------------------------------------------------------------------- checkpoints


# A VAE has a score, so it has a best.ckpt
SCORED = (
    "model=vae",
    "model/encoder=mlp",
    "model/decoder=mlp",
    "model.prior.components=1",
    "model.schedule=constant",
    "data.validation=20",
)
SMALL = tuple(text for text in TINY if not text.startswith("model"))


def scored(outputs: Path, *overrides: str) -> runs.RunFolder:
    """Run a small VAE with further overrides."""
    every = [*SMALL, *SCORED, f"paths.outputs={outputs}", *overrides]
    return run(compose(every), every, Console(quiet=True))


def checkpoints(folder: runs.RunFolder) -> set[str]:
    return {path.name for path in folder.checkpoints.iterdir()}


@pytest.mark.parametrize(
    ("which", "kept"),
    [("all", {"last.ckpt", "best.ckpt"}), ("last", {"last.ckpt"}), ("best", {"best.ckpt"}), ("none", set())],
)
def test_only_the_checkpoints_that_are_asked_for_stay(which, kept, tmp_path):
    folder = scored(tmp_path, f"run.keep_checkpoints={which}")
    assert checkpoints(folder) == kept
    provenance = (folder.path / "provenance.json").read_bytes()
    again = scored(tmp_path)  # the same run, finished: it is left as it is
    assert again.path == folder.path and checkpoints(again) == kept
    more = scored(tmp_path, "sample.n=40", "run.resume=must", f"run.keep_checkpoints={which}")  # without a training
    assert more.path == folder.path and checkpoints(more) == kept and len(more.metrics()) == 2
    assert json.loads((more.path / "provenance.json").read_text())["resumed"]
    assert json.loads(provenance)["resumed"] == []


def test_a_run_without_a_score_keeps_its_last_checkpoint_for_the_best(tmp_path):
    assert checkpoints(scored(tmp_path, "data.validation=0", "run.keep_checkpoints=best")) == {"last.ckpt"}


def test_a_run_whose_last_checkpoint_is_gone_is_not_extended(tmp_path):
    folder = scored(tmp_path, "run.keep_checkpoints=none")
    with pytest.raises(Refused, match=rf"run.extend=true: {folder.path} has no last.ckpt to go on from"):
        scored(tmp_path, "trainer.max_epochs=3", "run.extend=true")


def test_a_choice_that_there_is_not(tiny):
    with pytest.raises(Refused, match=r"run.keep_checkpoints: expected 'all', 'last', 'best', 'none', got 'some'"):
        tiny("run.keep_checkpoints=some")


# ------------------------------------------------------------------------------------------------------ strangers' folders


@pytest.fixture
def old(tmp_path) -> runs.RunFolder:
    return unpack(tmp_path / "outputs")


@pytest.mark.parametrize("place", ["log.txt", "samples", "figures", "checkpoints", "checkpoints/phase", "elsewhere"])
def test_a_linked_folder_or_log_is_refused_before_anything_is_written(place, old, tmp_path):
    target = tmp_path / "mine"
    if place == "log.txt":
        target.write_text("mine")
    else:
        target.mkdir()
    place = old.path / place
    if place.is_dir():
        shutil.rmtree(place)
    place.symlink_to(target)
    with pytest.raises(Refused, match="is a link"), old.lock():
        pytest.fail("locked")
    assert target.read_text() == "mine" if target.is_file() else not list(target.iterdir())


@pytest.mark.parametrize("name", ["results.json", "status.json", "samples.npz", "samples/final.png", "log.txt"])
def test_a_folder_in_the_place_of_a_file_is_refused(name, old):
    (old.path / name).unlink(missing_ok=True)
    (old.path / name).mkdir()
    with pytest.raises(Refused, match="expected a file"), old.lock():
        pytest.fail("locked")


def test_a_pipe_in_the_place_of_the_log_is_refused(old):
    os.mkfifo(old.path / "log.txt")
    with pytest.raises(Refused, match="expected a file"), old.lock():
        pytest.fail("locked")


def test_a_linked_file_is_replaced_and_its_target_stays(old, tmp_path):
    mine = tmp_path / "mine"
    mine.write_bytes((old.path / "status.json").read_bytes())
    (old.path / "status.json").unlink()
    (old.path / "status.json").symlink_to(mine)
    before = mine.read_bytes()
    with old.lock():
        old.record(epoch=7)
    assert old.status()["epoch"] == 7 and mine.read_bytes() == before


@pytest.mark.parametrize("key", ["model.name", "data.name", "run.name"])
@pytest.mark.parametrize("name", ["../x", "a/b", "..", "a\x1b[31mb", "x" * 200])
def test_a_name_that_leads_elsewhere_is_no_folder(key, name):
    cfg = compose([*TINY])
    cfg.data.facts = {"checksum": "0"}
    OmegaConf.update(cfg, key, name, force_add=True)
    with pytest.raises(Refused, match=rf"{key}: expected a folder's name"):
        runs.RunFolder.of(cfg)


def test_a_damaged_table_is_a_stage_that_is_not_done(old):
    key = old.status()["stages"]["evaluate"]["key"]
    assert old.stage_done("evaluate", key)
    for content in ("", "[]", "{}", "\0"):
        (old.path / "results.json").write_text(content)
        assert not old.stage_done("evaluate", key)


def test_damaged_metrics_are_a_stage_that_is_not_done(old):
    key = old.status()["stages"]["fit"]["key"]
    assert old.stage_done("fit", key)
    (old.path / "metrics.csv").write_text("epoch,step\none,two\n")
    assert not old.stage_done("fit", key)


@pytest.mark.parametrize("outputs", [["../" * 20 + "etc/passwd\0"], ["x" * 5000], ["nowhere"]])
def test_recorded_files_of_strange_names_are_not_there(outputs, old):
    change_json(old, "status.json", lambda status: status["stages"]["fit"].update(outputs=outputs))
    assert not old.stage_done("fit", old.status()["stages"]["fit"]["key"])
