"""What a run leaves in its folder, and the checkpoints that it keeps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY
from omegaconf import OmegaConf
from rich.console import Console
from safetensors.torch import load_file

from genrun.config.compose import compose
from genrun.errors import Refused
from genrun.run import run
from genrun.runs import folder as runs


def test_a_finished_run_leaves_the_whole_folder(tiny):
    folder = tiny("trainer.max_epochs=3")
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
