"""Tables of results, on the screen and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from genrun.errors import printable
from genrun.runs.folder import RunFolder

BEST = {"high": "↑", "low": "↓", "real": "≈", "": ""}  # arrow for the best value; `real`: the value of real images
HEADINGS = ("metric", "value", "real", "")


def show(folder: RunFolder, console: Console) -> None:
    """Print the results table of a finished run and the paths of its folder and final grid."""
    results = folder.results()
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
    """Format rows of results.json as texts: name, value ± spread, the floor (value of real images), notes."""
    made = []
    for row in rows:
        spread = f" ± {row['spread']:.2g}" if "spread" in row else ""
        note = "; ".join(part for part in (row.get("protocol"), row["note"]) if part)
        floor = number(row["floor"]) if "floor" in row else ""
        floor += f" ({row['floor_count']:,})" if "floor_count" in row else ""
        made.append(
            [f"{row['name']} {BEST.get(row.get('best', ''), '')}".rstrip(), number(row["value"]) + spread, floor, note]
        )
    return made


def table(title: str | None, headings: Sequence[str], lines: list[list[str]]) -> Table:
    """Make a table for the screen: the first column is left-aligned, the last one dim, those between right-aligned."""
    shown = Table(title=Text(title, style="italic") if title else None, title_justify="left", box=None, pad_edge=False)
    shown.add_column(headings[0])
    for heading in headings[1:-1]:
        shown.add_column(heading, justify="right")
    shown.add_column(headings[-1], style="dim")
    for line in lines:
        shown.add_row(*map(Text, line))  # Text, because brackets in a name are not markup
    return shown


def markdown(title: str, headings: Sequence[str], lines: list[list[str]], *, notes: bool = True) -> str:
    """Format a table as Markdown; with `notes` the last column holds notes, otherwise numbers like those before it."""
    ruler = f"|---|{'---:|' * (len(headings) - 2)}{'---|' if notes else '---:|'}"
    rows = [f"| {' | '.join(printable(cell.replace('|', '∣')) for cell in line)} |" for line in [headings, *lines]]
    return "\n".join([f"# {printable(title)}", "", rows[0], ruler, *rows[1:]]) + "\n"


def number(value: float | str | None) -> str:
    """Format a number with four significant digits; an integer has thousands separators, None is a dash, text stays."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
