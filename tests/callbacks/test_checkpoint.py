"""A disk that is full in the middle of a checkpoint; scores of an earlier judge."""

from __future__ import annotations

import builtins
import errno
import os
import shutil
from types import SimpleNamespace

import pytest
import torch
from conftest import outcome

from genrun.callbacks.checkpoint import RunCheckpoint
from genrun.cli import guarded
from genrun.errors import Failed
from genrun.runs import folder as runs
from genrun.system import files
from genrun.system.signals import Signals
from genrun.types import Phase


def checkpoints(folder: runs.RunFolder) -> set[str]:
    return {path.name for path in folder.checkpoints.iterdir()}


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


@pytest.mark.parametrize(("by", "kept"), [("judge/frechet", False), ("val/score", True)])
def test_a_score_of_an_earlier_judge_is_forgotten(by, kept, tmp_path, monkeypatch):
    folder = runs.RunFolder(tmp_path)
    one = RunCheckpoint(folder, Phase(""), signals=Signals(), minutes=1)
    state = one.state_dict() | {"best": 0.1}
    del state["table"]  # as earlier checkpoints were
    one.load_state_dict(state)
    for name in ("_save", "write_rows"):
        monkeypatch.setattr(one, name, lambda *_: None)
    monkeypatch.setattr(folder, "record", lambda **_: None)
    monkeypatch.setattr(shutil, "copyfileobj", lambda *_: None)
    folder.checkpoints.mkdir()
    one.files.best.touch()
    trainer = SimpleNamespace(callback_metrics={by: 0.5}, global_step=1)
    method = SimpleNamespace(best_by=by, column=lambda name: name)
    one._save_epoch(trainer, method, 1)
    assert one.best == (0.1 if kept else 0.5)
    trainer.callback_metrics[by] = 0.7
    one._save_epoch(trainer, method, 2)
    assert one.best == (0.1 if kept else 0.5)


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
