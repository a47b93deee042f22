"""What a run leaves on the disk, and a disk that is full."""

from __future__ import annotations

import builtins
import errno
import json
import os
from pathlib import Path

import pytest
import torch
from conftest import TINY, outcome
from rich.console import Console

from genrun.cli import guarded
from genrun.config.compose import compose
from genrun.errors import Failed, Refused
from genrun.run import run
from genrun.runs import folder as runs
from genrun.system import files

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


@pytest.mark.parametrize(
    "number", [3, 4], ids=["written by torch", "copied"]
)  # best.ckpt and last.ckpt of the second epoch
def test_a_disk_that_is_full_in_the_middle_of_a_checkpoint_leaves_the_one_before(
    number, tiny, tmp_path, monkeypatch, capsys
):
    """torch reports what the disk said as an error of its own; the line must be the disk's."""
    reference = outcome(tiny(outputs=tmp_path / "reference"))
    outputs = tmp_path / "full"
    opened = 0

    def open_(path, mode="r", *arguments, **options):
        nonlocal opened
        file = builtins.open(path, mode, *arguments, **options)  # noqa: SIM115 handed on
        if ".ckpt" in str(path) and "w" in mode:
            opened += 1
            if opened == number:
                return Full(file)
        return file

    with monkeypatch.context() as patch:
        patch.setattr(files, "open", open_, raising=False)
        assert guarded(lambda: tiny(outputs=outputs) and 0, debug=False) == Failed.status
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "No space left on device" in line and "the same command goes on" in line
    (path,) = (outputs / "csgm-digits").iterdir()
    folder = runs.RunFolder(path)
    assert folder.status()["state"] == "failed"
    assert torch.load(folder.last, weights_only=True)["epoch"] == 0  # of the first epoch, and whole
    assert checkpoints(folder) == {"last.ckpt", "best.ckpt"}
    assert outcome(tiny(outputs=outputs)) == reference


class Full:
    """A file on a disk with room for 4 KiB more."""

    def __init__(self, file) -> None:
        self.file, self.room = file, 4096

    def write(self, content) -> int:
        self.room -= len(content)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.file.name)
        return self.file.write(content)

    def __getattr__(self, name: str):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.file.close()
