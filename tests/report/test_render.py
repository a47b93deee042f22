"""Pages from templates: what is escaped, and what the page allows its browser."""

from __future__ import annotations

import subprocess
import sys

import pytest

from genrun.report.render import policy, render, sentence


def test_a_page_without_scripts_allows_none():
    page = render("base.html")
    assert "script-src &#39;none&#39;" in page and "<script" not in page


def test_a_page_that_asks_its_server_still_runs_only_its_own_scripts():
    rules = policy(["a()"], same_origin=True)
    assert "connect-src 'self'" in rules and "img-src data: blob: 'self'" in rules
    assert "script-src 'sha256-" in rules and "unsafe" not in rules.partition("style-src")[0]


@pytest.mark.parametrize("script", ["a</script>", "a</SCRIPT", "<!-- a"])
def test_a_script_that_would_end_its_element_is_refused(script):
    with pytest.raises(ValueError, match="must not have"):
        render("base.html", scripts=[script])


def test_a_sentence():
    assert [sentence(text) for text in ("", "clean digits", "Done.", "é")] == ["", "Clean digits.", "Done.", "É."]


def test_the_page_needs_no_torch():
    code = (
        "import sys, genrun.verbs.report, genrun.report.page.page; "
        "print([name for name in ('torch', 'matplotlib', 'vl_convert') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
