"""The results of a run as lines of a table, on the screen and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from genrun.errors import printable
from genrun.report.groups import groups, not_measured, short_name
from genrun.report.screen import ScreenTable
from genrun.report.verdict import mark, verdict
from genrun.runs.folder import RunFolder

BEST = {"high": "↑", "low": "↓", "real": "≈", "": ""}  # arrow for the best value; `real`: the value of real images
HEADINGS = ("metric", "value", "real", "", "")
DIGITS = 3  # significant ones
DEVIATION_DIGITS = 2
SMALLEST, LARGEST = -4, 6  # numbers from 0.0001 to a million are written without a power of ten


def show(folder: RunFolder, console: Console) -> None:
    """Print the results table of a finished run and the paths of its folder and final grid."""
    show_results(folder.results(), console)
    if not folder.status().get("repeatable", True):
        console.print("ended by trainer.max_time: not repeatable", highlight=False, markup=False)
    console.print(
        f"\nrun folder  {folder.path}\ngrid        {folder.samples / 'final.png'}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def show_results(results: dict[str, Any], console: Console) -> None:
    """Print the content of results.json: title, verdict, the table in groups, and what was not measured."""
    said, missing = verdict(results), not_measured(results["rows"])
    heads: dict[int, str] = {}
    made: list[list[str]] = []
    for group in groups(results["rows"]):
        heads[len(made)] = group.name
        made += lines(group.rows, short_name)
    console.print(Text(results["title"], style="italic"))
    if said:
        console.print(Text(said, style="bold"))
    if made:
        console.print(ScreenTable(None, HEADINGS, made, heads=heads))
    if missing:
        console.print(Text("\n".join(["", *missing]), style="dim"))


def results_markdown(results: dict[str, Any]) -> str:
    """Format results as Markdown: title, verdict, the table in groups, and what was not measured."""
    made = []
    for name, rows in groups(results["rows"]):
        made += [[f"**{name}**", "", "", "", ""], *lines(rows)]
    text = markdown(results["title"], HEADINGS, made, intro=verdict(results))
    return text + "".join(f"\n{printable(line)}\n" for line in not_measured(results["rows"]))


def lines(rows: Sequence[dict[str, Any]], named: Callable[[str], str] = str) -> list[list[str]]:
    """Format rows of results.json as texts: name, value ± spread, the floor (value of real images) ± its spread, mark, notes.

    Args:
        named: returns the text for a name.
    """
    made = []
    for row in rows:
        fewer = f"real: {row['floor_count']:,} images" if "floor_count" in row else ""
        note = "; ".join(part for part in (row.get("protocol"), fewer, row["note"]) if part)
        floor = with_deviation(row["floor"], row.get("floor_spread")) if "floor" in row else ""
        name = f"{named(row['name'])} {BEST.get(row.get('best', ''), '')}".rstrip()
        made.append([name, with_deviation(row["value"], row.get("spread")), floor, mark(row), note])
    return made


def table(title: str | None, headings: Sequence[str], lines: list[list[str]], keys: int = 1) -> ScreenTable:
    """Make a table for the screen: the first columns name a line, the last one holds notes, those between hold values."""
    return ScreenTable(title, headings, lines, keys)


def markdown(
    title: str, headings: Sequence[str], lines: list[list[str]], *, notes: bool = True, intro: str = ""
) -> str:
    """Format a table as Markdown; with `notes` the last column holds notes, otherwise numbers like those before it.

    Args:
        intro: a line between title and table.
    """
    ruler = f"|---|{'---:|' * (len(headings) - 2)}{'---|' if notes else '---:|'}"
    rows = [f"| {' | '.join(map(cell_text, line))} |" for line in [headings, *lines]]
    above = [printable(intro), ""] if intro else []
    return "\n".join([f"# {printable(title)}", "", *above, rows[0], ruler, *rows[1:]]) + "\n"


def cell_text(text: str) -> str:
    """Return a text for a cell of a Markdown table: in one line, without the sign that stands between cells."""
    return printable(" ".join(text.split("\n")).replace("\r", " ").replace("|", "∣"))


def number(value: float | str | None) -> str:
    """Format a number with three significant digits; an integer has all of them and thousands separators, None is a dash, text stays.

    A number that has fewer digits is not filled up: 0.07 is not 0.0700, but 0.99999 is 1.00.
    """
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, int) or not math.isfinite(value) or value == 0:
        return f"{value:,}" if isinstance(value, int) else f"{value:g}"
    exponent = exponent_of(value, DIGITS)
    if not SMALLEST <= exponent < LARGEST:
        return f"{value:.{DIGITS - 1}e}"
    short = f"{value:.{DIGITS}g}"
    return short if exponent < DIGITS and float(short) == value else fixed(value, DIGITS - 1 - exponent)


def with_deviation(value: float | str | None, deviation: float | None) -> str:
    """Format a number and its standard deviation with the same decimals.

    They have three digits of the value, none below the deviation's two, and at least one of the deviation's.
    """
    if (
        not isinstance(value, int | float)
        or not math.isfinite(value)
        or deviation is None
        or not math.isfinite(deviation)
    ):
        return number(value)
    if value == 0 or deviation == 0:
        return f"{number(value)} ± {number(deviation)}"
    digits = [(value, DIGITS), (deviation, DEVIATION_DIGITS)]
    places = min(few - 1 - exponent_of(each, few) for each, few in digits)
    places = max(places, -exponent_of(deviation, 1))  # at least one digit of the deviation
    if not -LARGEST < places <= DIGITS - SMALLEST:
        return f"{number(value)} ± {number(deviation)}"
    return f"{fixed(value, places)} ± {fixed(deviation, places)}"


def exponent_of(value: float, digits: int) -> int:
    """Return the power of ten of the first digit of a number that is not zero, rounded to so many digits."""
    return int(f"{value:.{digits - 1}e}".partition("e")[2])


def fixed(value: float, places: int) -> str:
    """Format a number without its power of ten; with negative places, its last digits before the point are zeros."""
    return f"{round(value, places) + 0.0:,.{max(places, 0)}f}"  # + 0.0: no minus before a zero
