"""A finished run on the screen: its table and where its pictures are. Reads files only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from genrun.runs.folder import RunFolder

BEST = {"high": "↑", "low": "↓", "real": "≈", "": ""}  # as `real`: neither more nor less
HEADINGS = ("metric", "value", "real", "")


def show(folder: RunFolder, console: Console) -> None:
    """Print the results table of a finished run and the paths of its folder and final grid."""
    results = json.loads((folder.path / "results.json").read_text())
    console.print(table(results["title"], HEADINGS, lines(results["rows"])))
    if not folder.status().get("repeatable", True):
        console.print("ended by trainer.max_time: not repeatable", highlight=False, markup=False)
    console.print(
        f"\nrun folder  {folder.path}\ngrid        {folder.samples / 'final.png'}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def lines(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Rows of results.json as texts: name, value ± spread, what real images get in the samples' place, how to read it."""
    made = []
    for row in rows:
        spread = f" ± {row['spread']:.2g}" if "spread" in row else ""
        note = "; ".join(part for part in (row.get("protocol"), row["note"]) if part)
        floor = number(row["floor"]) if "floor" in row else ""
        floor += f" ({row['floor_count']:,})" if "floor_count" in row else ""
        made.append([f"{row['name']} {BEST[row.get('best', '')]}".rstrip(), number(row["value"]) + spread, floor, note])
    return made


def table(title: str | None, headings: Sequence[str], lines: list[list[str]]) -> Table:
    """For the screen: the first column to the left, the last one dim, numbers in between to the right."""
    shown = Table(title=Text(title, style="italic") if title else None, title_justify="left", box=None, pad_edge=False)
    shown.add_column(headings[0])
    for heading in headings[1:-1]:
        shown.add_column(heading, justify="right")
    shown.add_column(headings[-1], style="dim")
    for line in lines:
        shown.add_row(*map(Text, line))  # brackets in a name are no markup
    return shown


def markdown(title: str, headings: Sequence[str], lines: list[list[str]], *, notes: bool = True) -> str:
    """The same for a file; the last column is one of notes, or of numbers as those before it."""
    ruler = f"|---|{'---:|' * (len(headings) - 2)}{'---|' if notes else '---:|'}"
    rows = [f"| {' | '.join(cell.replace('|', '∣') for cell in line)} |" for line in [headings, *lines]]
    return "\n".join([f"# {title}", "", rows[0], ruler, *rows[1:]]) + "\n"


def number(value: float | str | None) -> str:
    """Four significant digits; integers with thin separators."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
