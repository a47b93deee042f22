"""The leaderboards of a page: a line for runs that differ only in their seed, one table for each data set."""

from __future__ import annotations

from helpers.reports import made_run, summaries
from helpers.runs import change_config, change_json

from genrun.report.page.leaderboards import leaderboards
from genrun.report.page.runs import read_run


def read(*folders):
    return [read_run(summary, place) for place, summary in enumerate(summaries(*folders), start=1)]


def test_seeds_share_a_line_and_the_best_is_marked(tmp_path):
    runs = read(
        made_run(tmp_path, "a", model="vae", seed=1, distance=2.0),
        made_run(tmp_path, "b", model="vae", seed=0, distance=3.0),
        made_run(tmp_path, "c", model="gan", distance=8.0),
    )
    (board,) = leaderboards(runs)
    assert board.sections == [("quality", 1), ("memorisation", 1), ("cost", 2)]
    assert [float(text) for text in board.floors if text] == [0.5, 0.7]
    gan, vae = board.rows
    assert (gan.name, vae.name) == ("gan", "vae")
    assert [run.seed for run in vae.runs] == [0, 1]
    cell = vae.cells[0]
    assert (float(cell.text), cell.spread, cell.value, cell.best) == (2.5, "0.71", 2.5, True)
    assert (gan.cells[0].spread, gan.cells[0].best) == ("", False)


def test_charts_over_runs_have_a_colour_for_each_line(tmp_path):
    runs = read(made_run(tmp_path, "a"), made_run(tmp_path, "b", seed=1), made_run(tmp_path, "c", model="gan"))
    look, time = leaderboards(runs)[0].charts
    assert len(look.series) == 3 and [name for _, name in look.legend] == ["gan", "vae"]
    assert time.dots and sum(len(series.points) for series in time.series) == 3


def test_distances_of_an_earlier_judge_stand_apart_and_are_drawn_only_alone(tmp_path):
    earlier = [made_run(tmp_path, name, model=model) for name, model in (("a", "gan"), ("b", "rbm"))]
    for folder in earlier:
        change_json(
            folder, "results.json", lambda results: results["rows"][0].update(name="Fréchet distance (classifier)")
        )
    (alone,) = leaderboards(read(*earlier))
    assert alone.cautions == [] and alone.charts[-1].y == "Fréchet distance (classifier)"
    (mixed,) = leaderboards(read(*earlier, made_run(tmp_path, "c"), made_run(tmp_path, "d", seed=1)))
    assert [name for name, _ in mixed.columns][:1] == ["Fréchet"] and "Fréchet (classifier)" in dict(mixed.columns)
    assert mixed.charts[-1].y == "Fréchet distance (observer)" and [one.name for one in mixed.charts[-1].series] == [
        "vae"
    ]
    assert len(mixed.charts[0].series) == 2  # of four runs: an earlier judge looked at the others
    assert len(mixed.cautions) == 1 and "2 of these 4 runs" in mixed.cautions[0]


def test_other_data_has_a_table_of_its_own_and_unfinished_runs_have_none(tmp_path):
    other, failed = made_run(tmp_path, "b"), made_run(tmp_path, "c")
    change_config(other, "data.facts.checksum", "0" * 64)
    change_json(failed, "status.json", lambda status: status.update(state="failed"))
    found = leaderboards(read(made_run(tmp_path, "a"), other, failed))
    assert [[run.name for run in board.rows[0].runs] for board in found] == [["b"], ["a"]]


def test_the_headings_above_the_columns_are_in_the_order_of_the_columns(tmp_path):
    scored = made_run(tmp_path, "b", model="gan")
    change_json(scored, "results.json", lambda results: results.update(rows=results["rows"][2:]))
    (scored.path / "metrics.csv").write_text("epoch,step,val/score\n1,10,2.0\n")
    (found,) = leaderboards(read(made_run(tmp_path, "a"), scored))
    assert found.sections == [("quality", 1), ("memorisation", 1), ("quality", 1), ("cost", 2)]
    assert [metric for _, metric in found.columns][2] == "validation score"


def test_lines_are_named_by_what_differs_from_others_of_their_model(tmp_path):
    wide, deep, other = made_run(tmp_path, "a"), made_run(tmp_path, "b"), made_run(tmp_path, "c", model="gan")
    change_config(deep, "model.pixels", 1024)
    change_json(deep, "status.json", lambda status: status.update(group_id="deep"))
    change_config(other, "model.lr", 0.5)
    names = [row.name for row in leaderboards(read(wide, deep, other))[0].rows]
    assert sorted(names) == ["gan", "vae, pixels 1,024", "vae, pixels 8"]
    change_config(deep, "model.pixels", 8)
    names = [row.name for row in leaderboards(read(wide, deep, other))[0].rows]
    assert sorted(names) == ["gan", "vae, a", "vae, b"]


def test_options_with_the_same_last_word_are_told_apart(tmp_path):
    folders = [made_run(tmp_path, name) for name in "abc"]
    for folder, encoder, decoder in zip(folders, (1, 1, 2), (1, 2, 1), strict=True):
        change_config(folder, "model.encoder", {"width": encoder})
        change_config(folder, "model.decoder", {"width": decoder})
        change_json(folder, "status.json", lambda status, group=folder.path.name: status.update(group_id=group))
    names = [row.name for row in leaderboards(read(*folders))[0].rows]
    assert sorted(names)[0] == "vae, encoder.width 1, decoder.width 1" and len(set(names)) == 3


def test_a_copy_of_a_run_is_no_second_seed(tmp_path):
    folders = [made_run(tmp_path, "a"), made_run(tmp_path, "b", distance=9.0)]
    change_json(folders[1], "status.json", lambda status: status.update(id="a"))
    ((row,),) = [one.rows for one in leaderboards(read(*folders))]
    assert len(row.runs) == 1 and row.cells[0].spread == ""
