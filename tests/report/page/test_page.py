"""The whole page: its parts, its size, and that nothing of a hostile run can act."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from helpers.reports import grid, made_run, summaries
from helpers.runs import change_config, change_json, unpack
from PIL import Image
from rich.console import Console

from genrun.errors import Refused
from genrun.figures.grid import png_bytes
from genrun.report.page import runs as runs_of_page
from genrun.report.page.page import differences, neighbours, report_page
from genrun.report.page.runs import read_run

NEAR = [("a", "vae", 0), ("b", "vae", 1), ("c", "gan", 0), ("d", "vae", 1)]


def page_of(*folders, full=False, broken=()):
    return report_page(summaries(*folders), broken, full=full, console=Console(quiet=True))


class Elements(HTMLParser):
    """The elements of a page with their attributes, and the texts of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.found and self.found[-1][0] == "script" and self.cdata_elem == "script":
            self.scripts.append((self.found[-1][1], data))

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def page(outputs):
    folders = [
        made_run(outputs, "a", seed=0),
        made_run(outputs, "b", seed=1),
        made_run(outputs, "c", model="gan", distance=8.0),
        unpack(outputs, "interrupted"),
    ]
    return page_of(*folders, broken=["x/status.json is damaged"])[0]


def test_the_parts_of_a_page(page):
    assert "4 runs on digits" in page and "3 done, 1 interrupted" in page
    elements = Elements(page)
    assert len([one for one in elements.all("details") if one.get("class") == "run"]) == 4
    assert len([one for one in elements.all("table") if one.get("class") == "board"]) == 1
    assert len(elements.all("li")) > 15 and 'data-epoch="5"' in page
    assert "x/status.json is damaged" in page and "interrupted, epoch" in page
    for link in (one["href"] for one in elements.all("a")):
        assert f'id="{link[1:]}"' in page


def test_every_picture_is_inside_the_page_and_has_a_text(page):
    elements = Elements(page)
    assert len(elements.all("img")) > 20
    for image in elements.all("img"):
        assert image["src"].startswith("data:image/") and "alt" in image
    for tag, attributes in elements.found:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "srcset", "action"):
                assert value.startswith(("data:", "#")), (tag, name, value[:50])


def test_headings_are_in_order_and_tables_have_scopes(page):
    levels = [int(tag[1]) for tag, _ in Elements(page).found if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and all(after - before <= 1 for before, after in pairwise(levels))
    assert all("scope" in heading for heading in Elements(page).all("th"))


def test_the_policy_forbids_the_network_and_knows_each_script(page):
    elements = Elements(page)
    (policy,) = [one["content"] for one in elements.all("meta") if one.get("http-equiv")]
    assert "default-src 'none'" in policy and "connect-src 'none'" in policy and "unsafe-eval" not in policy
    assert policy.count("'sha256-") == len([one for one in elements.all("script") if "type" not in one]) == 3


def test_the_difference_to_the_nearest_run(outputs, page):
    difference = page[page.index('id="difference-3"') :]
    difference = difference[: difference.index("</table>")]
    assert "vae on digits" in difference and difference.count("<tr>") == 2  # the heading and the seed
    assert "<code>seed</code></th><td>1</td><td>0</td>" in difference


def test_the_nearest_run_is_the_one_with_the_fewest_differences(tmp_path):
    made = [made_run(tmp_path, name, model=model, seed=seed) for name, model, seed in NEAR]
    change_config(made[0], "model.extra", "only here")
    runs = [read_run(summary, place) for place, summary in enumerate(summaries(*made), start=1)]
    nearest = neighbours(runs)
    for run, near in zip(runs, nearest, strict=True):
        counts = [len(differences(run, other)) for other in runs if other is not run]
        assert near is not run and len(differences(run, near)) == min(counts)
    assert [near.name for near in nearest] == ["b", "d", "a", "b"]
    assert neighbours(runs[:1]) == []


def test_options_are_written_out_once_for_each_run(tmp_path, monkeypatch):
    folders = [made_run(tmp_path, f"r{k}", seed=k) for k in range(4)]
    counted = []
    monkeypatch.setattr(runs_of_page, "dotted_options", lambda node: counted.append(node) or {"seed": node["seed"]})
    page_of(*folders)
    assert len(counted) == len(folders)


def test_one_run_has_no_leaderboard(tmp_path):
    page, _ = page_of(made_run(tmp_path, "a"))
    elements = Elements(page)
    assert "<h1>vae on digits</h1>" in page and not [
        one for one in elements.all("table") if one.get("class") == "board"
    ]
    assert [one for one in elements.all("details") if "open" in one]


def test_a_hostile_run_is_harmless(tmp_path):
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    folder = made_run(tmp_path, "<script>alert(1)<")
    change_config(folder, "model.trap", evil)
    change_config(folder, "data.source.path", "\x1b[31m\u202eevil")
    rows = [{"name": evil, "value": evil, "note": f"{evil}\x1b[2J", "best": evil, "protocol": evil}]
    change_json(folder, "results.json", lambda results: results.update(title=evil, rows=rows))
    change_json(folder, "status.json", lambda status: status.update(state="failed", error=evil, group_id=evil))
    change_json(
        folder, "provenance.json", lambda made: made.update(overrides=[evil], device=evil, versions={evil: evil})
    )
    (folder.path / "metrics.csv").write_text(f"epoch,step,train/{evil},judge/frechet\n1,1,2,3\n2,2,3,4\n")
    (folder.figures / "<img src=x>.png").write_bytes(png_bytes(grid(1)))
    page, left_out = page_of(folder, made_run(tmp_path, "b"))
    assert not left_out
    elements = Elements(page)
    assert len(elements.all("script")) == 4 and not any("onerror" in attributes for _, attributes in elements.found)
    assert not any(image["src"] == "x" for image in elements.all("img"))
    assert "\x1b" not in page and "\u202e" not in page and "\\x1b[2J" in page
    (data,) = [text for attributes, text in elements.scripts if attributes.get("type") == "application/json"]
    assert json.loads(data)["options"]["2"]["trap"] == evil


def test_a_run_that_cannot_be_read_is_named(tmp_path):
    damaged = made_run(tmp_path, "a")
    (damaged.path / "metrics.csv").write_text("epoch,step\n1\n")
    page, left_out = page_of(made_run(tmp_path, "b"), damaged)
    assert len(left_out) == 1 and "metrics.csv" in left_out[0] and "metrics.csv" in page
    with pytest.raises(Refused, match="no run to report"):
        page_of(damaged)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "a text", None, 1e308])
def test_odd_values_are_shown(tmp_path, value):
    folders = [made_run(tmp_path, "a"), made_run(tmp_path, "b", seed=1)]
    for folder in folders:
        change_json(folder, "results.json", lambda results: [row.update(value=value) for row in results["rows"]])
        change_json(folder, "status.json", lambda status: status.update(group_id=["a", "list"]))
        (folder.path / "metrics.csv").write_text(
            "epoch,step,train/a,judge/frechet\n1,1,-1e308,1\n99999999999999999999,2,1e308,2\n"
        )
    page, left_out = page_of(*folders)
    assert not left_out and page.count("<svg") >= 4


@pytest.mark.parametrize("value", [10**400, {"a": 1}, True])
def test_impossible_values_are_named(tmp_path, value):
    folder = made_run(tmp_path, "a")
    summary = summaries(folder)
    change_json(folder, "results.json", lambda results: results["rows"][0].update(value=value))
    with pytest.raises(Refused, match="vae-digits/a"):
        report_page(summary, [], full=False, console=Console(quiet=True))


@pytest.mark.parametrize("noisy", [100, 50])
def test_a_long_run_makes_a_small_page(tmp_path, noisy):
    folder = made_run(tmp_path, "a", epochs=2)
    noise = [
        png_bytes(grid(k, columns=10, side=28, scale=1)) for k in range(4)
    ]  # the worst case: it cannot be compressed
    plain = png_bytes(Image.new("L", (300, 300)))
    for epoch in range(1, 101):
        (folder.samples / f"epoch_{epoch:04d}.png").write_bytes(noise[epoch % 4] if epoch <= noisy else plain)
    page, _ = page_of(folder)
    assert len(page.encode()) < 5e6 and page.count("data-epoch=") > 50
