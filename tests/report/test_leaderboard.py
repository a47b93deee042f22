"""The leaderboard: what is a line, means and deviations, the best of a column, and every form it is written in."""

from __future__ import annotations

import csv
import io
import json
import statistics

import pytest
from helpers.runs import change_config, change_json, some_run, started
from PIL import Image
from rich.console import Console

from genrun.errors import Refused
from genrun.figures.tradeoff import pareto, tradeoff
from genrun.report.board import FORMATS, Board, harmless, latex, line_labels
from genrun.report.leaderboard import Metric, best_lines, cautions, comparable, floor_metrics, leaderboard, ranked
from genrun.runs.summary import read_summary

FRECHET = "Fréchet distance (observer)"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    outputs = tmp_path_factory.mktemp("outputs")
    made = [
        some_run(outputs, "v0", model="vae", frechet=2.0, coverage=0.9, authenticity=0.9),
        some_run(outputs, "v1", model="vae", frechet=4.0, coverage=0.7, authenticity=0.9, seed=1),
        some_run(outputs, "g0", model="gan", frechet=5.0, coverage=0.8, authenticity=0.45),
    ]
    return [read_summary(run.path) for run in made]


def test_runs_that_differ_in_their_seed_are_one_line(runs):
    gan, vae = leaderboard(runs)
    assert gan.settings == {"model": "gan"} and vae.settings == {"model": "vae"}
    assert (
        vae.metrics[FRECHET] == Metric(3.0, statistics.stdev([2.0, 4.0]), 2) and gan.metrics[FRECHET].deviation is None
    )
    assert vae.record()["seeds"] == [0, 1] and len(vae.record()["runs"]) == 2
    assert str(vae.metrics[FRECHET]) == "3.0 ± 1.4" and str(vae.metrics["parameters"]) == "2,276"
    assert gan.metrics["images/s"].mean == pytest.approx(1600 / 0.09)
    assert "validation score" not in vae.metrics  # they are judged
    assert leaderboard(comparable([runs[0], runs[0]])[0])[0].metrics[FRECHET] == Metric(2.0, None, 1)  # twice is once
    assert leaderboard(runs[:2])[0].settings == {"model": "vae", "data": "digits"}


def test_lines_by_an_option_or_for_each_run(runs):
    assert [line.settings for line in leaderboard(runs, each=True)] == [
        {"run": "g0", "model": "gan", "seed": 0},
        {"run": "v0", "model": "vae", "seed": 0},
        {"run": "v1", "model": "vae", "seed": 1},
    ]
    zero, one = leaderboard(runs, by=["seed"])
    assert (
        zero.settings == {"seed": 0}
        and [run.name for run in zero.runs] == ["v0", "g0"]
        and one.metrics[FRECHET].mean == 4
    )
    with pytest.raises(Refused, match=r"--by sead: no run has this option \(did you mean 'seed'\?\)"):
        leaderboard(runs, by=["sead"])


def test_values_on_different_data_have_no_common_mean(runs, tmp_path):
    other = read_summary(some_run(tmp_path, "m0", model="vae", data="mnist", frechet=9.0).path)
    lines = leaderboard([*runs, other], by=["model"])
    assert [line.settings for line in lines if line.settings["model"] == "vae"] == [
        {"model": "vae", "data": "digits"},
        {"model": "vae", "data": "mnist"},
    ]


def test_of_runs_with_the_same_id_the_newest_counts(runs, tmp_path):
    older = started(some_run(tmp_path, "v0", model="vae", frechet=99.0), "2000-01-01T00:00:00+00:00")
    (line,) = leaderboard(comparable([runs[0], read_summary(older.path)])[0])
    assert line.metrics[FRECHET] == Metric(2.0, None, 1)


def test_an_unjudged_run_has_its_score(tmp_path):
    run = some_run(tmp_path, "a")
    (line,) = leaderboard([read_summary(run.path)])
    assert line.metrics["validation score"].mean == run.metrics()[-1]["val/score"]
    assert list(Board([line]).columns) == ["score", "training, s", "images/s", "memory, GiB", "parameters"]


def test_the_best_of_a_column(runs):
    lines = leaderboard(runs)
    floors = floor_metrics(runs)
    assert floors == {FRECHET: 0.5, "coverage (observer)": 0.5, "authenticity": 0.5}

    def best(metric):
        return [line.settings["model"] for line in best_lines(lines, metric, floors.get(metric))]

    assert best(FRECHET) == ["vae"] and best("coverage (observer)") == []  # equal means
    assert best("authenticity") == ["gan"]  # nearest to real images
    assert best("parameters") == [] and best_lines(lines[:1], FRECHET, None) == []
    assert [line.settings["model"] for line in ranked(lines, FRECHET, floors)] == ["vae", "gan"]
    assert best_lines(lines, "authenticity", None) == []


def test_every_form_has_the_same_values(runs, tmp_path):
    board = Board(leaderboard(runs), sort="Fréchet")
    console = Console(width=200, file=io.StringIO())
    console.print(board.on_screen())
    shown = [
        line.split() for line in console.file.getvalue().splitlines() if line[:1].strip()
    ]  # headings may be folded
    assert shown[0][:4] == ["model", "runs", "Fréchet", "coverage"] and shown[1][:3] == ["real", "images", "0.5"]
    assert shown[2][:5] == ["vae", "2", "3.0", "±", "1.4*"] and shown[3][:3] == ["gan", "1", "5"]
    made = {ending: board.as_text(ending, "A & B") for ending in FORMATS}
    assert "| vae | 2 | **3.0 ± 1.4** |" in made[".md"]
    assert r"vae & 2 & \textbf{3.0 $\pm$ 1.4} &" in made[".tex"] and made[".tex"].startswith(
        "% A & B\n\\begin{tabular}{lrrr"
    )
    vae, gan = csv.DictReader(io.StringIO(made[".csv"]))
    assert (vae["model"], vae["seeds"], float(vae[FRECHET]), gan[f"{FRECHET}, deviation"]) == ("vae", "0 1", 3.0, "")
    record = json.loads(made[".json"])
    assert record["real"]["digits"][FRECHET] == 0.5 and record["lines"][0]["metrics"][FRECHET]["mean"] == 3.0


def test_each_data_set_has_its_own_real_images_and_its_own_best(runs, tmp_path):
    other = some_run(tmp_path, "m0", model="vae", data="mnist", frechet=9.0, coverage=0.5)
    change_json(other, "status.json", lambda status: status.update(group_id="another"))
    board = Board(leaderboard([*runs, read_summary(other.path)]), ["Fréchet"])
    headings, rows = board.texts("{}*")
    assert headings == ["model", "data", "runs", "Fréchet"]
    assert [row[:2] for row in rows if row[0].startswith("real")] == [
        ["real images", "digits"],
        ["real images", "mnist"],
    ]
    assert [row for row in rows if row[-1].endswith("*")] == [
        ["vae", "digits", "2", "3.0 ± 1.4*"]
    ]  # one line of mnist is no contest
    alone = Board(leaderboard([runs[0], read_summary(other.path)]), ["Fréchet"]).texts("{}")[1]
    assert [row[0] for row in alone] == ["real images, digits", "real images, mnist", "digits", "mnist"]


def test_real_images_that_differ_by_rounding_are_the_same(tmp_path):
    made = [some_run(tmp_path, f"v{seed}", seed=seed, frechet=1.0) for seed in (0, 1)]
    change_json(made[1], "results.json", lambda results: results["rows"][-1].update(floor=0.5 + 1e-10))
    summaries = [read_summary(run.path) for run in made]
    assert floor_metrics(summaries) == {FRECHET: 0.5}
    change_json(made[1], "results.json", lambda results: results["rows"][-1].update(floor=0.51))
    assert floor_metrics([summaries[0], read_summary(made[1].path)]) == {}


def test_copies_of_a_run_are_named_and_left_out(runs, tmp_path):
    copy = started(some_run(tmp_path, "v0", model="vae", frechet=2.0), "2000-01-01T00:00:00+00:00")
    done, left_out = comparable([read_summary(copy.path), *runs])
    assert sorted(run.name for run in done) == ["g0", "v0", "v1"] and copy.path not in [run.folder.path for run in done]
    assert len(left_out) == 1 and "the same run as" in left_out[0]


def test_columns_are_headings_or_names(runs):
    lines = leaderboard(runs)
    board = Board(lines, ["Fréchet", "reconstruction, SSIM"])
    assert board.columns == {"Fréchet": FRECHET, "reconstruction, SSIM": "reconstruction, SSIM"}
    assert Board(lines, ["frechet"]).columns == {"Fréchet": FRECHET}  # not every keyboard has an é
    with pytest.raises(
        Refused, match=r"Frechett: no run has this metric \(did you mean 'Fréchet'\?\); there are 'Fréchet', 'coverage'"
    ):
        Board(lines, ["Frechett"])


def test_many_options_stand_in_one_column(tmp_path):
    made = []
    for k in range(6):
        run = some_run(tmp_path, f"r{k}", model="vae" if k else "gan")
        changed = (
            ["model.noise", "model.code_size", "trainer.max_epochs", "data.limit", "data.batch_size"][k - 1]
            if k
            else "seed"
        )
        change_config(run, changed, 77)
        change_json(run, "status.json", lambda status, k=k: status.update(group_id=str(k)))
        made.append(read_summary(run.path))
    lines = leaderboard(made)
    headings, cells = line_labels(lines)
    assert headings == ["model", "settings"] and len({tuple(cell) for cell in cells}) == len(lines)


def test_texts_of_strangers_are_harmless(tmp_path):
    run = some_run(tmp_path, "a", frechet=1.0)
    change_json(
        run,
        "results.json",
        lambda results: results["rows"].append({"name": "\x1b[31m=cmd()", "value": 1.0, "note": ""}),
    )
    board = Board(leaderboard([read_summary(run.path)]), ["\x1b[31m=cmd()"])
    assert not any("\x1b" in board.as_text(ending) for ending in FORMATS)
    change_json(run, "results.json", lambda results: results["rows"][-1].update(name="<img src=x>"))
    assert "&lt;img" in Board(leaderboard([read_summary(run.path)]), ["<img src=x>"]).as_text(".md")
    assert latex("50 % & {x}_y^2 \\ ~") == r"50 \% \& \{x\}\_y\textasciicircum{}2 \textbackslash{} \textasciitilde{}"
    assert harmless("=1+1") == "'=1+1" and harmless(-1) == -1 and harmless("vae") == "vae"


def test_what_makes_lines_hard_to_compare_is_said(runs, tmp_path):
    assert cautions(runs) == []
    other = some_run(tmp_path, "o", data="mnist", frechet=1.0)
    again = some_run(tmp_path, "p", frechet=1.0)
    change_json(again, "results.json", lambda results: results.update(features={"classifier": "another"}))
    said = cautions([*runs, read_summary(other.path), read_summary(again.path)])
    assert "different data (digits, mnist)" in said[0] and "different networks" in said[1]


def test_tables_of_an_earlier_judge_are_not_mixed_with_new_ones(runs, tmp_path):
    older = [
        read_summary(some_run(tmp_path, name, model=name, earlier_frechet=value, earlier_coverage=0.8).path)
        for name, value in (("rbm", 0.1), ("nota", 0.2))
    ]
    columns = {
        "Fréchet (classifier)": "Fréchet distance (classifier)",
        "coverage (classifier)": "coverage (classifier)",
    }
    assert cautions(older) == [] and columns.items() <= Board(leaderboard(older)).columns.items()
    board = Board(leaderboard([*runs, *older]))
    assert {"Fréchet": FRECHET, **columns}.items() <= board.columns.items()
    headings, rows = board.texts("{}*")
    new, old = headings.index("Fréchet"), headings.index("Fréchet (classifier)")
    cells = {row[0]: (row[new], row[old]) for row in rows}
    assert cells["vae"] == ("3.0 ± 1.4*", "–") and cells["rbm"] == ("–", "0.1*") and cells["nota"] == ("–", "0.2")
    (said,) = cautions([*runs, *older])
    assert said.startswith("2 of these 5 runs were judged by an earlier version") and "genrun evaluate " in said
    assert "validation score" not in leaderboard(older)[0].metrics  # they are judged


def test_the_plot_joins_what_nothing_beats():
    points = {"a": (1.0, 5.0), "b": (2.0, 2.0), "c": (3.0, 3.0), "d": (4.0, 1.0)}
    assert list(pareto(points)) == ["a", "b", "d"]
    drawn = tradeoff({name: ((x, 0.1), (y, 0.0)) for name, (x, y) in points.items()}, "seconds", "distance")
    assert isinstance(drawn, Image.Image) and drawn.size[0] > 400
    with pytest.raises(ValueError, match="at least one point"):
        tradeoff({}, "seconds", "distance")
