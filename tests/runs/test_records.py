"""A damaged record of a run is refused in one line, or made again, and no record takes all memory or all time."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from helpers.runs import change_config, change_json, unpack

from genrun.errors import Refused, one_line
from genrun.runs.folder import RunFolder
from genrun.runs.open import open_run
from genrun.runs.records import check_form, read_config, read_words

# Contents that no record has
DAMAGED = {
    "empty": b"",
    "list": b"[]",
    "map": b"{}",
    "null": b"null",
    "text": b"hello",
    "not UTF-8": b"\xff\xfe\xe4",
    "zeros": b"\0" * 50,
    "deep": b"[" * 200_000,
    "half": b'{"format": 1, "sta',
    "huge number": b"1" + b"0" * 5000,
}
ALIASES = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{now}: &{now} [{','.join([f'*{before}'] * 9)}]\n" for before, now in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> RunFolder:
    return unpack(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def run(whole, tmp_path) -> RunFolder:
    shutil.copytree(whole.path, copy := tmp_path / "outputs" / "autoencoder-digits" / "autoencoder")
    return RunFolder(copy)


READERS = {
    "config.yaml": lambda folder: open_run(folder.path),
    "status.json": lambda folder: open_run(folder.path),
    "results.json": lambda folder: open_run(folder.path).folder.results(),
    "metrics.csv": lambda folder: open_run(folder.path).metrics(),
}


def refused(name: str, folder: RunFolder) -> str:
    with pytest.raises(Refused) as error:
        READERS[name](folder)
    text = one_line(error.value)
    assert name in text and "Error" not in text, text
    return text


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_record_is_refused_with_its_name(name, content, run):
    (run.path / name).write_bytes(DAMAGED[content])
    refused(name, run)


@pytest.mark.parametrize("name", READERS)
def test_a_pipe_a_device_a_folder_or_a_link_to_nowhere_is_no_record(name, run):
    file = run.path / name
    for make in (
        lambda: os.mkfifo(file),
        lambda: file.symlink_to("/dev/zero"),
        lambda: file.mkdir(),
    ):
        file.unlink()
        make()
        refused(name, run)
        file.unlink() if not file.is_dir() else file.rmdir()
        file.touch()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (ALIASES, "alias"),
        ("a: &a {b: *a}", "alias"),
        ("[" * 1000, "levels"),
        ("[" + "[]," * 300_000 + "]", "parts"),
        ("x: " + "a" * 2**20, "larger"),
        ("seed: " + "1:" * 50_000 + "1", "characters"),
        ("!!python/object/apply:os.system [exit]", "constructor"),
        ("model: 1\nmodel: 2", "duplicate"),
        ("model: {", "expected"),
        ("a: ${oc.env:HOME}", "interpolation"),
        ("${oc.env:HOME}: a", "interpolation"),
    ],
)
def test_a_configuration_that_would_take_all_memory_or_read_a_variable_is_refused(text, reason, run):
    (run.path / "config.yaml").write_text(text)
    assert reason in refused("config.yaml", run)


@pytest.mark.parametrize("key", ["model", "data", "trainer", "callbacks", "hardware", "paths", "run", "sample", "seed"])
@pytest.mark.parametrize("value", [None, [1], "${oc.env:HOME}", "???"])
def test_a_section_that_is_no_section_is_refused(key, value, run):
    change_config(run, key, value)
    refused("config.yaml", run)


@pytest.mark.parametrize("part", ["model", "data"])
@pytest.mark.parametrize(
    "name",
    ["../../x", "/x", "a/b", "..", "", ".x", "a\x1b[31mb", "a\nb", "a\tb", "a\0b", "x" * 300, "a\u202eb", None, 3],
)
def test_a_name_that_is_no_folder_s_name_is_refused(part, name, run):
    change_config(run, f"{part}.name", name)
    assert f"{part}.name" in refused("config.yaml", run) and "\x1b" not in refused("config.yaml", run)


@pytest.mark.parametrize(
    "change",
    [
        lambda status: status.update(format="1"),
        lambda status: status.update(format=99),
        lambda status: status.update(state=3),
        lambda status: status.update(stages=[]),
        lambda status: status.update(stages={"fit": 1}),
        lambda status: status["stages"]["fit"].pop("key"),
        lambda status: status["stages"]["fit"].update(outputs="x"),
        lambda status: status.update(attempts=[3]),
        lambda status: status.update(training_seconds="x"),
        lambda status: status.update(phases={"a": {}}),
        lambda status: status.pop("attempts"),
    ],
)
def test_a_status_of_another_form_is_refused(change, run):
    change_json(run, "status.json", change)
    with pytest.raises(Refused, match=r"status\.json|format"):
        open_run(run.path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("name", 3), ("value", [1]), ("note", None), ("floor", "x"), ("floor_count", 1.5), ("best", 3), ("spread", "x")],
)
def test_a_row_of_results_of_another_form_is_refused(key, value, run):
    change_json(run, "results.json", lambda results: results["rows"][0].update({key: value}))
    assert f"rows.0.{key}: expected" in refused("results.json", run)


@pytest.mark.parametrize(
    ("before", "after"),
    [("\n1,", "\none,"), ("\n1,", "\n1,1,1,1,1,1,1,1,1,"), ("epoch", "era"), ("\n2,", "\n2,x"), ("\n2,", '\n2,"')],
)
def test_a_damaged_row_of_metrics_is_refused(before, after, run):
    file = run.path / "metrics.csv"
    file.write_text(file.read_text().replace(before, after, 1))
    assert "delete it" in refused("metrics.csv", run)


def test_records_of_the_true_run_are_read(run):
    assert read_config(run.path).model.name == "autoencoder"
    assert run.results()["rows"] and run.metrics()[0]["epoch"] == 1
    assert any(word.startswith("model=") for word in read_words(run.path / "overrides.yaml"))


@pytest.mark.parametrize("content", [*DAMAGED.values(), ALIASES.encode(), b"a: 1"])
def test_damaged_overrides_are_none(content, tmp_path):
    (tmp_path / "overrides.yaml").write_bytes(content)
    assert read_words(tmp_path / "overrides.yaml") == []


@pytest.mark.parametrize(
    ("value", "form", "line"),
    [
        ({"a": 1}, {"a": str}, "a: expected str, got 1"),
        ({}, {"a": int}, "it has no a"),
        ({"a": True}, {"a": int}, "a: expected int, got True"),
        ({"a": [1, "x"]}, {"a": [int]}, "a.1: expected int, got 'x'"),
        ({"a": {"b": 1}}, {"*": {"b": (str, type(None))}}, "a.b: expected str or null, got 1"),
    ],
)
def test_the_message_names_the_place(value, form, line):
    with pytest.raises(ValueError, match=line):
        check_form(value, form)


def test_a_form_lets_other_keys_be():
    check_form({"a": 1, "b": 2}, {"a": int, "c?": int})


def test_samples_that_would_not_fit_into_memory_are_refused_before_they_are_unpacked(run):
    opened, file = open_run(run.path), run.path / "samples.npz"
    assert opened.samples()[0].shape == (20, 8, 8, 1)
    for shape in ((21, 8, 8, 1), (20, 800, 800, 1)):
        np.savez_compressed(file, images=np.zeros(shape, np.uint8), labels=np.zeros(shape[0], np.int64))
        with pytest.raises(Refused, match="expected at most 20 images"):
            opened.samples()
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(Refused, match="not a file"):
        opened.samples()
