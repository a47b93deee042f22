"""`genrun figures`: figures drawn again, without training or judging."""

from __future__ import annotations

import json

import pytest
from conftest import genrun
from helpers.runs import change_config, change_json, unpack
from omegaconf import OmegaConf

from genrun.report.captions import CAPTIONS
from genrun.runs.records import read_config
from genrun.stages.figures import DRAWINGS
from genrun.stages.keys import stage_keys
from genrun.verbs.figures import BY_THE_JUDGE


def files(folder) -> dict[str, tuple[bytes, int]]:
    """The figures: name → content and when it was written."""
    found = [file for file in folder.figures.iterdir() if file.suffix in (".png", ".gif")]
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in found}


def test_every_figure_has_a_drawing():
    named = [name for drawing in DRAWINGS for name in drawing.names]
    assert sorted([*named, *BY_THE_JUDGE]) == sorted(CAPTIONS)


def test_only_the_named_figures_are_drawn_and_the_run_stays_done(run_folder, monkeypatch, capsys):
    before, status = files(run_folder), run_folder.status()
    keys = stage_keys(read_config(run_folder.path), run_folder)
    assert run_folder.finished(keys)
    (run_folder.figures / "closest_samples.png").unlink()
    assert not run_folder.finished(keys)
    assert genrun("figures", str(run_folder.path), "--only", "closest_samples,curves", monkeypatch=monkeypatch) == 0
    after = files(run_folder)
    assert {name: content for name, (content, _) in after.items()} == {
        name: content for name, (content, _) in before.items()
    }
    assert {name for name in after if after[name] != before[name]} == {"closest_samples.png", "curves.png"}
    out = capsys.readouterr().out.splitlines()
    assert out == [str(run_folder.figures / name) for name in ("curves.png", "closest_samples.png")]
    assert run_folder.finished(keys)
    now = run_folder.status()["stages"]
    assert set(now["figures"]["outputs"]) == set(status["stages"]["figures"]["outputs"])
    assert list(now) == list(status["stages"]) and now["evaluate"] == status["stages"]["evaluate"]


def test_the_list_says_what_there_is_and_what_is_seen(run_folder, monkeypatch, capsys):
    assert genrun("figures", str(run_folder.path), "--list", "--json", monkeypatch=monkeypatch) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert {name.partition(".")[0] for name in files(run_folder)} <= set(found)
    assert all(one["caption"] == CAPTIONS[name] for name, one in found.items())
    assert "schedule" not in found and found["curves"]["file"] == str(run_folder.figures / "curves.png")
    monkeypatch.setenv("COLUMNS", "80")
    (run_folder.figures / "zoom.gif").rename(run_folder.figures / "moved.gif")
    assert genrun("figures", str(run_folder.path), "--list", monkeypatch=monkeypatch) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert [line.split()[0] for line in out.splitlines() if "not there" in line][:1] == ["zoom"]
    (run_folder.figures / "moved.gif").rename(run_folder.figures / "zoom.gif")


def test_a_run_without_figures_gets_them_all_and_counts_as_a_run_with_figures(tiny, monkeypatch):
    folder = tiny("callbacks=none", "trainer.max_epochs=1")
    config = read_config(folder.path)
    whole = OmegaConf.merge(config, {"run": {"figures": True}})
    assert folder.finished(stage_keys(config, folder)) and not folder.finished(stage_keys(whole, folder))
    outputs = f"paths.outputs={folder.path.parents[1]}"
    assert genrun("figures", "last", outputs, "--only", "resolution", monkeypatch=monkeypatch) == 0
    assert set(files(folder)) == {"resolution.png"} and not folder.finished(stage_keys(whole, folder))
    assert genrun("figures", folder.path.name[:6], outputs, monkeypatch=monkeypatch) == 0
    assert {"resolution.png", "closest_samples.png", "matrix.png"} <= set(files(folder))
    assert folder.finished(stage_keys(whole, folder)) and folder.finished(stage_keys(config, folder))


@pytest.fixture
def old(tmp_path):
    return unpack(tmp_path / "outputs")


def refused(*words: str, monkeypatch, capsys) -> str:
    assert genrun("figures", *words, monkeypatch=monkeypatch) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "\x1b" not in error
    return error


def test_what_is_wrong_is_one_line(old, tmp_path, monkeypatch, capsys):
    def line(*words: str) -> str:
        return refused(*words, monkeypatch=monkeypatch, capsys=capsys)

    run = str(old.path)
    assert "there is no such figure (did you mean 'tsne'?)" in line(run, "--only", "tnse")
    assert "what it shows is not in this run" in line(run, "--only", "zoom")
    assert "`genrun evaluate" in line(run, "--only", "blends")
    assert "--pairs 3,8: it is for class_means and components" in line(run, "--only", "curves", "--pairs", "3,8")
    for wrong in ("3", "3,3", "3,8,4"):
        assert f"expected two classes with a comma between them, such as 3,8, got {wrong}" in line(
            run, "--pairs", wrong
        )
    assert "--pairs: there is no class '11'" in line(run, "--pairs", "3,11")
    assert "expected one run, got 2" in line(run, run)
    assert "--json: it is for --list" in line(run, "--json")
    assert "--list names all figures and draws none" in line(run, "--list", "--only", "curves")
    assert "expected a run folder" in line(str(tmp_path))
    assert "no run of this id" in line("abcdef", f"paths.outputs={tmp_path / 'outputs'}")
    with old.lock():
        assert "is being run by process" in line(run, "--only", "curves")
    change_json(old, "status.json", lambda status: status.update(state="interrupted"))
    assert "is not finished (interrupted); give its command again" in line(run)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model._target_", "os.system"),
        ("data.source._target_", "os.system"),
        ("evaluation.x", {"_target_": "os.mkdir"}),
    ],
)
def test_a_strangers_classes_are_not_built(key, value, old, monkeypatch, capsys):
    config = OmegaConf.to_container(OmegaConf.load(old.path / "config.yaml"))
    config.setdefault("evaluation", {}).setdefault("x", None)
    (old.path / "config.yaml").write_text(json.dumps(config))
    change_config(old, key, value)
    assert "--trust builds it" in refused(str(old.path), "--only", "curves", monkeypatch=monkeypatch, capsys=capsys)
