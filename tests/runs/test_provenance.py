"""What made a run is recorded, and a run that goes on with something else says so."""

from __future__ import annotations

import json
import shutil

import pytest
from helpers.runs import change_json, unpack
from rich.console import Console

from genrun.runs.checkout import Checkout
from genrun.runs.folder import RunFolder
from genrun.runs.provenance import threads_of, write_provenance

CODE = Checkout("a" * 40, dirty=True, patch=b"one patch")
RECORD = {"machine": {"threads": 1}, "versions": {"torch": "2.1"}, "git": CODE.to_dict()}


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    """A run that has begun."""
    folder = unpack(tmp_path)
    (folder.path / "provenance.json").unlink()
    write_provenance(folder, RECORD, CODE, None, Console(quiet=True))
    return folder


def said(folder: RunFolder, record: dict, code: Checkout | None) -> str:
    console = Console(record=True, width=300)
    write_provenance(folder, record, code, None, console)
    return console.export_text()


def test_an_uncommitted_change_is_kept_beside_the_provenance(folder):
    assert (folder.path / CODE.patch_name).read_bytes() == b"one patch"
    assert json.loads((folder.path / "provenance.json").read_text())["git"]["patch"] == CODE.patch_name


def test_the_same_code_and_versions_warn_of_nothing(folder):
    assert said(folder, RECORD, CODE) == ""


def test_another_commit_other_changes_and_other_versions_warn_as_another_machine_does(folder):
    for record, code, words in (
        (RECORD | {"machine": {"threads": 2}}, CODE, "threads"),
        (RECORD | {"versions": {"torch": "2.2"}}, CODE, "torch (2.1, now 2.2)"),
        (None, Checkout("b" * 40, dirty=False, patch=b""), "genrun's commit (aaaaaaaa, now bbbbbbbb)"),
        (None, Checkout("a" * 40, dirty=True, patch=b"other"), "genrun's uncommitted code"),
        (RECORD | {"git": None}, None, "genrun's commit (aaaaaaaa, now None)"),
    ):
        record = record or RECORD | {"git": code.to_dict()}
        assert said(folder, record, code) == (
            f"warning: {words} changed since this run began; what is made now may differ\n"
        )
    assert len(list(folder.path.glob("*.patch"))) == 2  # that of the first attempt stays
    assert len(json.loads((folder.path / "provenance.json").read_text())["resumed"]) == 5


def test_a_record_of_before_patches_warns_of_its_commit_only(folder):
    change_json(folder, "provenance.json", lambda record: record["git"].pop("patch"))
    assert said(folder, RECORD, CODE) == ""


def test_a_training_that_is_not_done_does_not_go_on_bit_for_bit(folder):
    folder.weights.unlink(missing_ok=True)
    folder.checkpoints.mkdir(exist_ok=True)
    folder.last.touch()
    assert said(folder, RECORD | {"machine": {"threads": 2}}, CODE).endswith("it goes on, but not bit for bit\n")


def test_a_run_goes_on_with_the_threads_of_its_last_attempt(folder):
    assert threads_of(folder) == 1
    said(folder, RECORD, CODE)  # an attempt that differs in nothing
    assert threads_of(folder) == 1
    said(folder, RECORD | {"machine": {"threads": 2}}, CODE)
    assert threads_of(folder) == 2
    folder.weights.unlink()
    shutil.rmtree(folder.checkpoints, ignore_errors=True)
    assert threads_of(folder) is None  # nothing was left to go on from
