"""The report of a sweep in headless Chromium: it sorts, filters, plays, compares, and asks nothing of the network."""

from __future__ import annotations

import pytest
from helpers.browser import chromium, needs_browser, sync_api, watched
from helpers.reports import made_run, summaries
from rich.console import Console

from genrun.report.page.page import report_page

pytestmark = needs_browser


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    outputs = tmp_path_factory.mktemp("outputs")
    runs = [
        *(made_run(outputs, f"vae{seed}", seed=seed, distance=2.0 + seed) for seed in range(2)),
        made_run(outputs, "gan0", model="gan", seed=2, distance=8.0),
        made_run(outputs, "<script>alert(1)<", model="rbm", seed=3, distance=4.0, epochs=3),
    ]
    page, _ = report_page(summaries(*runs), [], full=False, console=Console(quiet=True))
    report = tmp_path_factory.mktemp("report") / "report.html"
    report.write_text(page)
    return report


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser, file):
    """The open report; whatever it complained of, or asked for, fails the test at its end."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    complaints = []
    page = watched(context, ("file:", "data:"), complaints)
    page.goto(file.as_uri())
    yield page
    context.close()
    assert complaints == []


def names(page) -> list[str]:
    return page.locator("table.board tbody tr:not(.floor):visible th").all_inner_texts()


def test_the_leaderboard_sorts_by_a_click_and_by_the_keyboard(page):
    assert names(page) == ["gan", "rbm", "vae"]
    heading = page.get_by_role("columnheader", name="Fréchet")
    heading.get_by_role("button").click()
    assert names(page) == ["vae", "rbm", "gan"] and heading.get_attribute("aria-sort") == "ascending"
    heading.get_by_role("button").press("Enter")
    assert names(page) == ["gan", "rbm", "vae"] and heading.get_attribute("aria-sort") == "descending"
    assert page.locator("table.board tbody tr").first.inner_text().startswith("real images")
    page.get_by_role("columnheader", name="run").get_by_role("button").press("Space")
    assert names(page) == ["gan", "rbm", "vae"] and heading.get_attribute("aria-sort") is None


def test_the_filter_hides_lines_and_runs(page):
    page.get_by_label("Filter").fill("model=vae seed=1")
    assert names(page) == ["vae"]
    assert page.locator("details.run:visible").count() == 1
    assert page.locator("#filter-count").inner_text() == "1 of 4 runs"
    page.get_by_label("Filter").fill("")
    assert len(names(page)) == 3


def test_a_run_opens_by_its_link_and_plays(page):
    page.locator("table.board").get_by_role("link", name="gan, seed 2").click()
    run = page.locator("details.run[open]")
    sync_api.expect(run.locator("summary").first).to_contain_text("gan on digits")
    controls = run.locator(".player .controls")
    assert controls.locator("output").inner_text() == "epoch 5"
    controls.get_by_role("slider").press("Home")
    assert controls.locator("output").inner_text() == "epoch 1"
    assert run.locator(".frames li:visible").get_attribute("data-epoch") == "1"
    controls.get_by_role("slider").press("ArrowRight")
    assert run.locator(".frames li:visible").get_attribute("data-epoch") == "2"
    controls.get_by_role("button", name="Play").click()
    sync_api.expect(controls.locator("output")).to_have_text("epoch 5")
    sync_api.expect(controls.get_by_role("button", name="Play")).to_be_visible()  # it stops at the end


def test_several_runs_play_on_the_same_epoch(page):
    together = page.locator("#epochs")
    assert together.locator(".beside figure").count() == 3  # one of each model
    slider = together.get_by_role("slider")
    shown = together.locator(".beside img")
    last = [shown.nth(k).get_attribute("src") for k in range(3)]
    assert len(set(last)) == 3
    slider.press("Home")
    assert all(shown.nth(k).get_attribute("src") != last[k] for k in range(3))
    assert "after epoch 1" in shown.first.get_attribute("alt")
    slider.press("End")
    assert [shown.nth(k).get_attribute("src") for k in range(3)] == last
    assert "epoch 3" in together.locator("figcaption").nth(1).inner_text()  # this run ended earlier
    for box in together.get_by_role("checkbox").all():
        box.uncheck()
    assert together.locator(".beside figure").count() == 0 and slider.count() == 0
    together.get_by_role("checkbox").first.check()
    assert together.locator(".beside figure").count() == 1


def test_the_configuration_differs_from_the_run_that_one_chooses(page):
    page.get_by_role("button", name="Open all").click()
    run = page.locator("details.run", has_text="gan on digits").first
    run.get_by_text("Configuration", exact=True).click()
    run.get_by_label("Difference to").select_option(label="vae on digits, vae1, seed 1")
    table = run.locator("table.difference")
    assert table.locator("tbody tr").all_inner_texts() == ["model\tgan\tvae", "seed\t2\t1"]
    assert "vae1" in table.locator("caption").inner_text()


def test_charts_are_live_and_print_as_drawings(page):
    plot = page.locator("#leaderboard .plot").first
    plot.scroll_into_view_if_needed()
    sync_api.expect(plot).to_have_class("plot is-live")
    assert plot.locator(".live svg").count() == 1
    page.emulate_media(media="print")
    assert plot.locator("> svg").is_visible() and not plot.locator(".live").is_visible()


def test_a_point_of_a_chart_says_what_it_is(page):
    plot = page.locator("#leaderboard .plot").first
    plot.scroll_into_view_if_needed()
    sync_api.expect(plot).to_have_class("plot is-live")
    plot.locator(".live .mark-symbol path").last.hover()
    told = page.locator("#vg-tooltip-element")
    sync_api.expect(told).to_contain_text("epoch")
    assert "vae (vae" in told.inner_text() and "undefined" not in told.inner_text()


def test_colours_follow_the_dark_mode(page):
    def paper():
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light = paper()
    page.emulate_media(color_scheme="dark")
    dark = paper()
    page.emulate_media(color_scheme="dark", media="print")
    assert light == "rgb(252, 251, 249)" and dark == "rgb(22, 23, 24)" and paper() == "rgb(255, 255, 255)"


def test_a_narrow_screen_does_not_scroll_sideways(page):
    page.set_viewport_size({"width": 390, "height": 800})
    page.get_by_role("button", name="Open all").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_all_is_there_without_scripts(browser, file):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    page.locator("details.run summary").first.click()
    run = page.locator("details.run").first
    assert run.locator(".frames img").count() == 5 and run.locator(".frames li").first.is_visible()
    assert run.locator(".chart svg").first.is_visible() and page.locator("#leaderboard .chart svg").first.is_visible()
    assert not page.get_by_label("Filter").is_visible()
    context.close()
