"""`genrun report`: which runs it takes, where it writes, and what it refuses in one line."""

from __future__ import annotations

import os

import pytest
from conftest import genrun
from helpers.reports import made_run
from helpers.runs import unpack

from genrun.system.locks import hold


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(tmp_path):
    return made_run(tmp_path / "outputs", "abcd1234", epochs=2)


def test_all_runs_below_the_folder_of_outputs(run, monkeypatch, capsys):
    unpack(run.path.parents[1], "interrupted")
    assert genrun("report", monkeypatch=monkeypatch) == 0
    page = (run.path.parents[2] / "report.html").read_text()
    assert "2 runs on digits" in page and capsys.readouterr().out.startswith("report.html  ")


def test_one_run_by_the_beginning_of_its_id_and_its_pictures_as_they_are(run, monkeypatch, tmp_path):
    assert genrun("report", "abcd", "-o", "one.html", "--full", monkeypatch=monkeypatch) == 0
    assert "data:image/png" in (tmp_path / "one.html").read_text()
    assert genrun("report", "abcd", "-o", "one.html", monkeypatch=monkeypatch) == 0  # replaces the earlier report
    assert "data:image/png" not in (tmp_path / "one.html").read_text()


def test_a_run_at_work_is_shown_as_running(run, monkeypatch, tmp_path):
    from helpers.runs import change_json

    change_json(run, "status.json", lambda status: status.update(state="running"))
    with hold(run.path, "wait"):
        assert genrun("report", str(run.path), monkeypatch=monkeypatch) == 0
    assert "running, epoch 2" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], "no run of this id or name"),
        (["outputs/vae-digits/x"], "expected a run folder"),
        (["empty"], "expected a run folder, or a folder with runs"),
        (["-o", "report.pdf"], "expected a name that ends in .html"),
        (["-o", "no/report.html"], "there is no folder no"),
        (["-o", "mine.html"], "is no report of genrun"),
        (["-o", "link.html"], "is no report of genrun"),
        (["-o", "folder.html"], "is no report of genrun"),
        (["--other"], "unrecognized arguments"),
        (["model=gan"], "no such runs"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(run, monkeypatch, tmp_path, capsys, words, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "mine.html").write_text("<p>mine")
    os.symlink("elsewhere.html", tmp_path / "link.html")
    assert genrun("report", *words, monkeypatch=monkeypatch) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert (tmp_path / "mine.html").read_text() == "<p>mine" and not (tmp_path / "elsewhere.html").exists()


@pytest.mark.parametrize("words", [[], ["outputs"], ["outputs/vae-digits"]])
def test_a_broken_folder_among_the_runs_is_named(run, monkeypatch, tmp_path, capsys, words):
    broken = run.path.parent / "broken"
    broken.mkdir()
    (broken / "status.json").write_text("{")
    assert genrun("report", *words, monkeypatch=monkeypatch) == 0
    assert "left out: outputs/vae-digits/broken/status.json" in capsys.readouterr().err
    assert "broken/status.json" in (tmp_path / "report.html").read_text()
