"""The rows of a reproduction on the screen and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from genrun.report.expectations import HELD, Expectations
from genrun.report.reproduction import AS_EXPECTED, JudgedRow, command_of, said, summary
from genrun.report.tables import cell_text, markdown

HEADINGS = ("", "published", "expected", "got", "verdict")


def print_target(target: Expectations, judged: Sequence[JudgedRow], console: Console, *, changed: bool) -> None:
    """Print the rows of a target, and how many there are of each verdict.

    Args:
        changed: whether the runs have other settings than expected.
    """
    shown = Table(title=f"{target.name}: {target.document}", title_justify="left", box=None, pad_edge=False)
    published = any(row.published for row in judged)  # most documents have claims and few numbers
    for heading, ratio in zip(HEADINGS, (6, 4, 3, 3, 2), strict=True):
        if heading != "published" or published:
            shown.add_column(heading, ratio=ratio, overflow="fold")
    for row in judged:
        texts = [named(row), *([row.published or "–"] if published else []), row.expected, row.got]
        shown.add_row(*map(Text, texts), Text(said(row), style=style_of(row)))
    console.print(shown)
    console.print(Text(f"\n{target.name}: {summary(judged, changed=changed)}", style="bold"))


def markdown_of(target: Expectations, judged: Sequence[JudgedRow], figures: Sequence[Mapping[str, str]] = ()) -> str:
    """Return the rows of a target as Markdown, with the commands of its runs and its figures."""
    lines = []
    for row in judged:
        notes = ". ".join(text.rstrip(".") for text in (said(row), row.note) if text)
        lines.append([named(row), row.published or "–", row.expected, row.got, notes])
    title = f"{target.name}: {target.document}"
    text = markdown(title, HEADINGS, lines, intro=f"{summary(judged)}.")
    text += "\n" + headed("run", "command", "seeds", "minutes of a seed", "expected values from")
    for name, run in target.runs.items():
        command = f"`{command_of(target, name)}`" + (f" (RUN: each of {run.refits})" if run.refits else "")
        minutes = f"{run.minutes:g}" + (f", on request: {run.on_request}" if run.on_request else "")
        origin = ", commit ".join(filter(None, (run.hardware, run.commit))) or "–"
        seeds = ", ".join(map(str, run.seeds))
        text += in_row(name, command, seeds, minutes, origin)
    if figures:
        text += "\n" + headed("figure of the document", "ours", "beside each other")
    for figure in figures:
        ours = f"[{figure['file']}]({figure['file']}), {figure['origin']}"
        text += in_row(f"{figure['source']}: {figure['shows']}", ours, figure["beside"])
    return text


def headed(*headings: str) -> str:
    """Return the first two lines of a Markdown table."""
    return in_row(*headings) + f"|{'---|' * len(headings)}\n"


def in_row(*cells: str) -> str:
    """Return a line of a Markdown table."""
    return f"| {' | '.join(map(cell_text, cells))} |\n"


def named(row: JudgedRow) -> str:
    """Return what a row is about and where the document has it."""
    return f"{row.text} ({row.source})"


def style_of(row: JudgedRow) -> str:
    """Return the colour of a verdict: of what makes the target fail, of what stands, or none."""
    if row.unexpected:
        return "bold red"
    return "green" if row.verdict in (AS_EXPECTED, HELD) else ""
