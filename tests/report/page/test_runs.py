"""What a page shows of one run: its records, checked, and its pictures."""

from __future__ import annotations

import pytest
from helpers.reports import grid, made_run, summaries
from helpers.runs import change_json, unpack
from PIL import Image

from genrun.errors import Refused
from genrun.figures.grid import png_bytes
from genrun.report.page.runs import Budget, read_pictures, read_run

PLENTY = Budget(10**6, 10**6)


def read(folder, budget=PLENTY):
    run = read_run(summaries(folder)[0], 1)
    read_pictures(run, budget)
    return run


def test_a_finished_run(tmp_path):
    run = read(made_run(tmp_path, "a", epochs=3))
    assert [epoch for epoch, _ in run.frames] == [1, 2, 3] and run.every_frame == 1
    assert run.final and run.thumb and not run.named_rows
    assert run.title == "vae on digits" and run.state_text == "done, epoch 3"
    assert run.command == "genrun model=vae seed=0"
    assert [name for name, _ in run.metric_groups] == ["fidelity", "memorisation", "cost"]
    (figure,) = run.figures
    assert figure["caption"].startswith("The first sample that the reference classifier takes for each class")
    assert ("seed", "0") in run.facts and not run.left_out


def test_an_unfinished_run_has_its_state_and_what_is_there(tmp_path):
    run = read(unpack(tmp_path, "interrupted"))
    assert run.state == "interrupted" and run.charts and run.final is None and run.thumb is None
    assert not run.metric_groups and not run.frames


def test_an_imported_run_says_where_it_came_from_and_a_failed_one_why(tmp_path):
    folder = made_run(tmp_path, "a")
    change_json(folder, "status.json", lambda status: status.update(imported={"from": "b.zip", "exported": "now"}))
    assert ("state", "done, epoch 5, imported from b.zip") in read(folder).facts
    change_json(folder, "status.json", lambda status: status.update(state="failed", error="the disk is full"))
    assert read(folder).state_text == "failed, epoch 5, imported from b.zip: the disk is full"


def test_what_the_page_shows_in_another_way_is_no_figure_but_in_full(tmp_path):
    folder = made_run(tmp_path, "a")
    for name in ("curves.png", "timelapse.gif"):
        (folder.figures / name).write_bytes(png_bytes(grid(0)))
    assert [figure["name"] for figure in read(folder).figures] == ["sorted.png"]
    assert len(read(folder, None).figures) == 3


def test_a_grid_without_layout_has_names_of_rows(tmp_path):
    folder = made_run(tmp_path, "a")
    drawn = grid(0)
    drawn.info.clear()
    (folder.samples / "final.png").write_bytes(png_bytes(drawn))
    assert read(folder).named_rows


def test_damaged_pictures_are_named(tmp_path):
    folder = made_run(tmp_path, "a")
    (folder.samples / "epoch_0002.png").write_text("no picture")
    (folder.samples / "final.png").write_text("no picture")
    (folder.figures / "tsne.png").write_text("no picture")
    (folder.figures / "<b>.png").write_bytes(png_bytes(grid(0)))
    run = read(folder)
    assert [epoch for epoch, _ in run.frames] == [1, 3, 4, 5]
    assert run.left_out == [
        f"{name}: no PNG or GIF" for name in ("samples/epoch_0002.png", "samples/final.png", "figures/tsne.png")
    ]
    assert [figure["caption"] for figure in run.figures][1] == "<b>"


@pytest.mark.parametrize("name", ["config.yaml", "results.json", "provenance.json", "metrics.csv", "status.json"])
def test_a_record_that_is_a_link_out_of_the_folder_is_refused(tmp_path, name):
    folder = made_run(tmp_path, "a")
    summary = summaries(folder)[0]
    file = folder.path / name
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused, match="link out of the run folder"):
        read_run(summary, 1)


def test_folders_of_pictures_that_lead_elsewhere_are_not_followed(tmp_path):
    folder = made_run(tmp_path, "a")
    for place in (folder.samples, folder.figures):
        place.rename(tmp_path / place.name)
        place.symlink_to(tmp_path / place.name)
    run = read(folder)
    assert not run.frames and not run.figures and run.final is None
    assert run.left_out == ["samples/final.png is a link out of the run folder"]


def test_pictures_that_are_too_large_or_lie_elsewhere_are_named(tmp_path):
    folder = made_run(tmp_path, "a")
    (tmp_path / "secret.png").write_bytes(png_bytes(grid(0)))
    for place in (folder.samples / "epoch_0001.png", folder.figures / "sorted.png"):
        place.unlink()
        place.symlink_to(tmp_path / "secret.png")
    for place in (folder.samples / "epoch_0002.png", folder.figures / "tsne.png"):
        Image.new("1", (6000, 6000)).save(place)
    for budget in (PLENTY, None):
        run = read(folder, budget)
        assert [epoch for epoch, _ in run.frames] == [3, 4, 5] and not run.figures
        reasons = [line.partition(": ")[2] or line for line in run.left_out]
        link, large = "is a link out of the run folder", "36,000,000 pixels, expected at most 33,554,432"
        assert reasons == [f"samples/epoch_0001.png {link}", large, f"figures/sorted.png {link}", large]


@pytest.mark.parametrize("change", [{"rows": [{"name": 1}]}, {"rows": "x"}, {"title": None}])
def test_results_of_another_form_are_refused(tmp_path, change):
    folder = made_run(tmp_path, "a")
    summary = summaries(folder)[0]
    change_json(folder, "results.json", lambda results: results.update(change))
    with pytest.raises(Refused, match=r"results\.json"):
        read_run(summary, 1)
