"""The rows of a reproduction on the screen and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from genrun.errors import printable
from genrun.report.expectations import Expectations
from genrun.report.reproduction import AS_EXPECTED, HELD, Judged, commands
from genrun.report.tables import markdown

HEADINGS = ("", "published", "expected", "got", "verdict")


def print_target(target: Expectations, judged: Sequence[Judged], console: Console) -> None:
    """Print the rows of a target, and how many there are of each verdict."""
    shown = Table(title=f"{target.name}: {target.document}", title_justify="left", box=None, pad_edge=False)
    published = any(row.published for row in judged)  # most documents have claims and few numbers
    for heading, ratio in zip(HEADINGS, (6, 4, 3, 3, 2), strict=True):
        if heading != "published" or published:
            shown.add_column(heading, ratio=ratio, overflow="fold")
    for row in judged:
        texts = [named(row), *([row.published or "–"] if published else []), row.expected, row.got]
        shown.add_row(*map(Text, texts), Text(row.verdict, style=style_of(row)))
    console.print(shown)
    console.print(Text(f"\n{summary(judged)}", style="bold"))


def markdown_of(target: Expectations, judged: Sequence[Judged], figures: Sequence[Mapping[str, str]]) -> str:
    """Return the rows of a target as Markdown, with the commands of its runs and its figures."""
    lines = []
    for row in judged:
        notes = ". ".join(text.rstrip(".") for text in (row.verdict, row.note) if text)
        lines.append([named(row), row.published or "–", row.expected, row.got, notes])
    text = markdown(f"{target.name}: {target.document}", HEADINGS, lines, intro=summary(judged))
    text += "\n| run | command | seeds | minutes of a seed | expected values from |\n|---|---|---|---:|---|\n"
    for name, command in commands(target).items():
        run = target.runs[name]
        minutes = f"{run.minutes:g}" + (f" ({run.on_request}: `--on-request`)" if run.on_request else "")
        origin = ", commit ".join(filter(None, (run.hardware, run.commit))) or "–"
        text += f"| {name} | `{printable(command)}` | {len(run.seeds)} | {minutes} | {origin} |\n"
    if figures:
        text += "\n| figure of the document | ours | beside each other |\n|---|---|---|\n"
        for figure in figures:
            texts = [printable(figure[key]) for key in ("source", "shows", "file", "origin", "beside")]
            text += "| {}: {} | [{}]({}) ({}) | {} |\n".format(*texts[:3], *texts[2:])
    return text


def named(row: Judged) -> str:
    """Return what a row is about and where the document has it."""
    return f"{row.text} ({row.source})"


def style_of(row: Judged) -> str:
    """Return the colour of a verdict: of what makes the target fail, of what stands, or none."""
    if row.unexpected:
        return "bold red"
    return "green" if row.verdict in (AS_EXPECTED, HELD) else ""


def summary(judged: Sequence[Judged]) -> str:
    """Return how many rows have each verdict."""
    verdicts = [row.verdict for row in judged]
    return ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))
