"""The page in headless Chromium: sliders, links, play, errors; it asks its own server only, and complains of nothing."""

from __future__ import annotations

import threading
from functools import partial

import pytest
from helpers.browser import chromium, needs_browser, sync_api, watched
from helpers.explore import CodedSampler, Stepping, explorer

from genrun.explore.page import page as page_of
from genrun.explore.server import Server

pytestmark = needs_browser


class Both(CodedSampler):
    """Has codes, draws samples, and shows the way to them."""

    sample_trajectory = Stepping.sample_trajectory


@pytest.fixture(scope="module")
def server():
    made = explorer(Both(10))
    answers = {
        f"{kind}/{view}": partial(answer, view)
        for kind, answer in (("view", made.view), ("closest", made.closest))
        for view in made.views
    }
    with Server(page_of(made, {"run": "<script>alert(1)<", "model": "vae", "data": "digits"}), answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def opened(browser, server):
    """Open the page with a state in its address; whatever it complained of, or asked elsewhere, fails the test at its end."""
    context = browser.new_context(viewport={"width": 1200, "height": 3000})  # all panels are seen
    complaints = []

    def opened(state: str = ""):
        page = watched(context, ("data:", f"http://127.0.0.1:{server.server_port}/"), complaints)
        page.goto(server.url + state)
        for view in ("samples", "codes", "interpolation", "trajectory"):
            page.wait_for_selector(f"[data-view={view}] .closest img")
        return page

    opened.complaints = complaints
    yield opened
    context.close()
    assert complaints == []


def shown(page, view: str) -> list[str]:
    """The pictures of a panel, without their neighbours."""
    return page.locator(f"[data-view={view}] .pictures > figure > img").evaluate_all("all => all.map(one => one.src)")


def changed(page, view: str, before: list[str]) -> list[str]:
    sync_api.expect(page.locator(f"[data-view={view}] .pictures > figure > img").last).not_to_have_attribute(
        "src", before[-1]
    )
    page.wait_for_selector(f"[data-view={view}] .closest img")
    return shown(page, view)


def test_a_slider_by_keyboard_and_the_link_to_what_it_shows(opened):
    page = opened()
    assert page.title() == "<script>alert(1)< · explore"
    assert len(shown(page, "samples")) == len(shown(page, "interpolation")) == 10
    assert (
        page.locator("[data-view=codes] .sliders > div").evaluate_all("all => all.filter(one => !one.hidden).length")
        == 2
    )
    start = shown(page, "codes")
    page.locator("#d1").focus()
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    sync_api.expect(page.locator("output[for=d1]")).to_have_text("1.2")
    assert "codes.d1=1.2" in page.url
    (moved,) = shown(opened(page.evaluate("location.hash")), "codes")
    assert [moved] != start
    sync_api.expect(page.locator("[data-view=codes] .pictures > figure > img")).to_have_attribute("src", moved)
    page.get_by_role("button", name="reset").click()
    changed(page, "codes", [moved])
    assert shown(page, "codes") == start and "codes.d1" not in page.url
    page.get_by_role("button", name="random code").click()
    changed(page, "codes", start)
    assert "codes.start=random" in page.url


def test_play_shows_each_state_up_to_the_sample(opened):
    page = opened("#trajectory.step=2&trajectory.class=3")
    panel = page.locator("[data-view=trajectory]")
    sync_api.expect(panel.locator("output")).to_have_text("2 of 5")
    assert panel.locator("select").input_value() == "3"
    panel.get_by_role("button", name="play").click()
    panel.get_by_role("button", name="stop").wait_for()
    sync_api.expect(panel.locator("output")).to_have_text("5 of 5")
    panel.get_by_role("button", name="play").wait_for()
    assert "trajectory.step=5" in page.url


def test_a_wrong_number_is_said_in_the_panel_and_samples_need_none(opened):
    page = opened()
    panel = page.locator("[data-view=interpolation]")
    panel.locator("[name=number_a]").fill("99")
    sync_api.expect(panel.locator(".status")).to_have_text("number_a: expected a whole number from 0 to 59, got '99'")
    (complaint,) = opened.complaints
    assert "400" in complaint  # the browser's own word on it
    opened.complaints.clear()
    before = shown(page, "interpolation")
    panel.locator("[name=source]").select_option("samples")
    changed(page, "interpolation", before)
    sync_api.expect(panel.locator(".status")).to_have_text("")
    assert not panel.locator("[name=number_a]").is_visible() and panel.locator("[name=seed]").is_visible()


def test_a_phone_shows_it_without_scrolling_sideways(browser, server):
    context = browser.new_context(viewport={"width": 360, "height": 700})
    page = context.new_page()
    page.goto(server.url)
    page.wait_for_selector("[data-view=samples] .closest img")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    context.close()
