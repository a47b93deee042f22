"""Tables on the screen and in Markdown."""

from __future__ import annotations

import io

from rich.console import Console


def test_brackets_in_a_name_are_shown_as_they_are():
    from genrun.report.tables import HEADINGS, lines, markdown, table

    rows = [{"name": "a [red] | name", "value": 1, "note": "pip install 'genrun[inception]'"}]
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table("outputs/[b]x", HEADINGS, lines(rows)))
    shown = console.export_text()
    assert "a [red] | name" in shown and "genrun[inception]" in shown and "outputs/[b]x" in shown
    assert markdown("x", HEADINGS, lines(rows)).splitlines()[-1].count("|") == 5
