"""`genrun export` and `genrun import` on the command line: what is asked wrongly takes one line, what is there is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import genrun
from helpers.runs import change_json, unpack

from genrun.verbs import export as verb


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A finished autoencoder in outputs/ of the current folder."""
    monkeypatch.chdir(tmp_path)
    return unpack(Path("outputs"))


def test_there_and_back(run, monkeypatch, capsys):
    status = run.status()
    assert genrun("export", status["id"][:6], "--no-onnx", monkeypatch=monkeypatch) == 0
    out = capsys.readouterr().out.splitlines()
    assert out == [
        "autoencoder-digits-autoencoder",
        "sampler.py: noise, labels → images, plain torch",
        "no ONNX: it was exported with --no-onnx",
    ]
    assert genrun("import", out[0], "paths.outputs=mine", monkeypatch=monkeypatch) == 0
    folder = Path("mine/autoencoder-digits") / f"imported-{status['id']}"
    assert capsys.readouterr().out.splitlines()[0] == str(folder)
    assert json.loads((folder / "status.json").read_text())["imported"]["from"] == str(Path(out[0]).resolve())
    assert genrun("sample", str(folder), "--n", "4", "--out", "four.png", monkeypatch=monkeypatch) == 0
    assert genrun("show", str(folder), monkeypatch=monkeypatch) == 0
    assert "done, imported from " in capsys.readouterr().out
    for name in ("evaluate", "figures"):
        assert genrun(name, str(folder), monkeypatch=monkeypatch) == 2
        assert "was imported without samples.npz; genrun sample" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nowhere/at/all"], "expected a run folder"),
        (["zzz"], "no run of this id or name in outputs"),
        (["empty"], "empty: expected a run folder (with config.yaml), found none there"),
        (["last", "first"], "expected one run, got 2"),
        (["last", "--license", "my own!"], "--license my own!: expected an identifier such as mit"),
        (["last", "--out", "a/b"], "--out a/b: there is no folder"),
        (["last", "--out", "empty"], "--out empty exists already; choose another name"),
        (["last", "paths.outputs=empty"], "last: there are no runs in empty"),
    ],
    ids=["path", "word", "empty", "two", "license", "parent", "exists", "outputs"],
)
def test_what_is_asked_wrongly_takes_one_line(run, words, line, monkeypatch, capsys):
    Path("empty").mkdir()
    assert genrun("export", *words, monkeypatch=monkeypatch) == 2
    out, err = capsys.readouterr()
    assert line in err and len(err.splitlines()) == 1 and not out


def test_an_unfinished_run_is_refused(run, monkeypatch, capsys):
    change_json(run, "status.json", lambda content: content.update(state="interrupted"))
    assert genrun("export", "last", monkeypatch=monkeypatch) == 2
    assert "is not finished (interrupted); give its command again first" in capsys.readouterr().err


def test_a_missing_extra_is_named_before_anything_is_written(run, monkeypatch, capsys):
    monkeypatch.setattr(verb, "find_spec", lambda name: None if name == "onnxscript" else object())
    assert genrun("export", "last", monkeypatch=monkeypatch) == 2
    err = capsys.readouterr().err
    assert "ONNX needs onnxscript; install the extra export: " in err and "[export]" in err
    assert err.strip().endswith("or leave ONNX out with --no-onnx") and not list(Path().glob("autoencoder*"))


def test_onnx_that_is_asked_for_and_not_there_is_status_1(run, monkeypatch, capsys):
    from genrun.sharing import folder

    monkeypatch.setattr(folder, "onnx_of", lambda traced, outputs: b"a model")
    monkeypatch.setattr(folder, "largest_error", lambda program, model: float("inf"))
    assert genrun("export", "last", "--out", "out", monkeypatch=monkeypatch) == 1
    assert "no ONNX: it differs from torch by inf, more than 1e-04" in capsys.readouterr().out
    assert Path("out/sampler.py").is_file() and not Path("out/sampler.onnx").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nowhere"], "nowhere: there is no such folder"),
        (
            ["empty"],
            "empty: expected a folder that genrun export wrote, it has no model.safetensors, config.yaml, SHA256SUMS",
        ),
        (["empty", "outputs"], "expected one folder, got 2"),
        (["empty", "data.source.url=x"], "data.source.url: only the place of the data can be set"),
        (["outputs/autoencoder-digits/autoencoder"], "not of an exported folder"),
    ],
    ids=["nowhere", "empty", "two", "option", "a run"],
)
def test_what_is_no_exported_folder_is_refused(run, words, line, monkeypatch, capsys):
    Path("empty").mkdir()
    assert genrun("import", *words, "paths.outputs=mine", monkeypatch=monkeypatch) == 2
    out, err = capsys.readouterr()
    assert line in err and len(err.splitlines()) == 1 and not out
