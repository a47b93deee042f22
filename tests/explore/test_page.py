"""The page offers what the method can do, and shows names as they are."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from helpers.explore import CodedSampler, KeepingSampler, Sampler, Stepping, explorer

from genrun.explore.page import counts, page

TITLE = {"run": "3f9a21c4", "model": "vae", "data": "mnist"}


class Controls(HTMLParser):
    """What one can set in each panel, and the texts of labels; complains of what has no label."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.panels: dict[str, list[str]] = {}
        self.tags: list[str] = []
        self.unlabelled, self.labelled, self._inside = [], set(re.findall(r'<label for="(\w+)"', html)), 0
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append(tag)
        if "data-view" in attributes:
            self.view = attributes["data-view"]
            self.panels[self.view] = []
        self._inside += tag == "label"
        if tag in ("input", "select"):
            self.panels[self.view].append(attributes["name"])
            if not self._inside and attributes.get("id") not in self.labelled:
                self.unlabelled.append(attributes["name"])

    def handle_endtag(self, tag):
        self._inside -= tag == "label"


@pytest.mark.parametrize(
    "made",
    [
        explorer(Sampler()),
        explorer(Stepping(10)),
        explorer(CodedSampler(10)),
        explorer(CodedSampler(0), classes=0),
        explorer(CodedSampler(10), data=False),
        explorer(KeepingSampler(0, 60)),
    ],
    ids=lambda made: "-".join(made.views),
)
def test_there_is_a_panel_for_each_view_whose_inputs_are_parameters_that_it_knows(made):
    found = Controls(page(made, TITLE))
    assert list(found.panels) == list(made.views) and not found.unlabelled
    for view, names in found.panels.items():
        asked = {name: "0" for name in names if name not in ("start", "source", "way", "resolution")}
        assert made.view(view, asked)["pictures"]
        for name in {*names} - {"step"}:  # the step is shown by the page alone
            with pytest.raises(Exception, match=rf"^{name}: expected"):
                made.view(
                    view, asked | ({"source": "samples"} if name == "seed" else {}) | {"start": "random", name: "x"}
                )


def test_an_unconditional_method_has_no_class_to_choose_for_samples():
    assert "class" not in Controls(page(explorer(Sampler()), TITLE)).panels["samples"]
    assert "class" in Controls(page(explorer(Sampler(10)), TITLE)).panels["samples"]
    assert (
        "class" in Controls(page(explorer(CodedSampler(0)), TITLE)).panels["codes"]
    )  # whose codes have classes all the same


def test_names_are_shown_as_they_are():
    made = explorer(Sampler(10))
    evil = "<script>alert(1)</script>\"'&"
    made.facts = made.facts.__class__(**vars(made.facts) | {"class_names": (evil,) * 10})
    html = page(made, {"run": evil, "model": evil, "data": evil}, notice=evil)
    assert "alert(1)</script>" not in html and "&lt;script&gt;alert(1)&lt;/script&gt;&#34;" in html
    found = Controls(html)
    assert found.tags.count("script") == 2  # the page's own


def test_the_page_loads_nothing_from_elsewhere_and_runs_its_own_scripts_only():
    html = page(explorer(CodedSampler(10)), TITLE, notice="no data")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1].replace("&#39;", "'")
    assert "default-src 'none'" in policy and "connect-src 'self'" in policy and "unsafe-eval" not in policy
    assert "script-src 'sha256-" in policy and not re.search(r'\b(src|href)="(?!data:|#)', html)
    assert not re.search(r"\son\w+=", html) and "no data" in html


def test_training_images_are_counted_by_class():
    train = explorer(CodedSampler(10)).train
    assert counts(train, 10) == [6] * 10 + [60] and counts(train, 0) == [60] and counts(None, 10) == []
