"""Runs as Python shows them."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
from helpers.runs import change_json, unpack

import genrun
from genrun.errors import Refused
from genrun.report.notebook import open_run
from genrun.runs import open as opening


@pytest.fixture
def run(tmp_path):
    return open_run(unpack(tmp_path / "outputs").path)


def test_metrics_are_found_by_name_and_a_misspelt_one_gets_the_nearest(run):
    results = run.results()
    rows = run.folder.results()["rows"]
    assert list(results) == [row["name"] for row in rows] and results["parameters"] == rows[-1]["value"]
    assert results.record["rows"] == rows and "parameters" in results and results.get("loss") is None
    with pytest.raises(KeyError, match=r"no metric 'paramters' \(did you mean 'parameters'\?\)"):
        results["paramters"]


def test_the_table_is_a_dataframe(run):
    change_json(run.folder, "results.json", lambda record: record["rows"][0].update(floor=0.5, spread=0.1))
    frame = run.results().frame()
    assert list(frame.columns) == ["value", "spread", "real", "best", "protocol", "note"]
    assert frame.loc["parameters", "value"] == run.results()["parameters"]
    assert frame.iloc[0][["real", "spread"]].tolist() == [0.5, 0.1] and frame["real"].isna().iloc[-1]
    assert frame["real"].dtype == float == frame["spread"].dtype


def test_without_pandas_one_line_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(Refused, match=r"needs pandas: the extra notebook: .* install .*\[notebook\]"):
        run.results().frame()


def test_a_run_shows_its_table_and_its_grid(run):
    html = run._repr_html_()
    assert repr(run) == f"<run {run.folder.path}: done>" and f"{run.folder.path}</b>: done" in html
    assert all(f"<td>{name}" in html for name in run.results()) and html.count("<tr>") > len(run.results()) + 1
    assert run.results().verdict == "" and html.count("<p>") == 1  # nothing was measured but the cost
    assert '<img src="data:image/png;base64,iVBOR' in html
    (run.folder.path / "results.json").unlink()
    assert "results.json is missing" in run._repr_html_()


def test_nothing_of_a_hostile_folder_becomes_html_or_reaches_the_terminal(run, tmp_path):
    evil = "<script>alert(1)</script>\x1b[31m"
    path = run.folder.path.with_name("<script>\x1b[2J")
    run.folder.path.rename(path)
    hostile = open_run(path)
    change_json(
        hostile.folder, "results.json", lambda record: record["rows"][0].update(name=evil, note=evil, value=evil)
    )
    elsewhere = tmp_path / "private.png"
    grid = hostile.folder.samples / "final.png"
    shutil.move(grid, elsewhere)
    grid.symlink_to(elsewhere)
    html = hostile._repr_html_()
    assert "<script" not in html and "\x1b" not in html + repr(hostile) + repr(hostile.results()) and "<img" not in html
    grid.unlink()
    grid.write_text(evil)
    assert "<img" not in hostile._repr_html_()


# ------------------------------------------------------------------------------------------------------- genrun.runs


@pytest.fixture
def many(run, tmp_path):
    """Three runs of one folder, of which the second is the newest and the third was killed."""
    for number in range(3):
        copy = run.folder.path.with_name(f"run{number}")
        shutil.copytree(run.folder.path, copy)
        status = json.loads((copy / "status.json").read_text())
        status["attempts"] = [status["attempts"][0] | {"started": f"2030-01-0{1 + number % 2}T00:00:0{number}+00:00"}]
        status["state"] = "running" if number == 2 else "done"
        (copy / "status.json").write_text(json.dumps(status))
        config = (copy / "config.yaml").read_text()
        (copy / "config.yaml").write_text(config.replace("\nseed: 0\n", f"\nseed: {number}\n"))
    shutil.rmtree(run.folder.path)
    return tmp_path / "outputs"


def test_runs_are_listed_newest_first_and_chosen_by_their_options(many):
    def names(*arguments, **options):
        return [run.folder.path.name for run in genrun.runs(many, *arguments, **options)]

    assert names() == ["run1", "run2", "run0"]
    assert names(model="autoencoder", state="done") == ["run1", "run0"] and names(state="interrupted") == ["run2"]
    assert names(seed=[0, 2]) == ["run2", "run0"] and names("seed!=0", seed=1) == ["run1"]
    assert names(**{"trainer.max_epochs": -1}) == [] == names(model="vae")
    with pytest.raises(genrun.GenrunError, match="no run has an option modle"):
        names(modle="vae")
    with pytest.raises(genrun.GenrunError, match="no such folder"):
        genrun.runs(many / "gone")


def test_a_list_reads_no_configuration_and_leaves_out_a_broken_folder_with_a_warning(many, monkeypatch):
    (many / "autoencoder-digits" / "run0" / "status.json").write_text("[]")
    (many / "autoencoder-digits" / "run2" / "config.yaml").unlink()
    monkeypatch.setattr(opening, "read_config", lambda folder: pytest.fail("it takes 15 ms for each run"))
    with pytest.warns(UserWarning, match="left out: .*run") as warned:
        assert [run.folder.path.name for run in genrun.runs(many)] == ["run1"]
    assert sorted("run0" in str(one.message) for one in warned) == [False, True]


def test_a_wrong_folder_is_refused_at_once(run, tmp_path):
    with pytest.raises(genrun.GenrunError, match="expected a run folder"):
        genrun.open_run(tmp_path)
    (run.folder.path / "config.yaml").write_text("model: ${a}")
    with pytest.raises(genrun.GenrunError, match="cannot be read"):
        genrun.open_run(run.folder.path)
