"""A finished run on the screen: its table and where its pictures are. Reads files only."""

from __future__ import annotations

import json

from rich.console import Console
from rich.table import Table

from genrun.runs import RunFolder


def show(folder: RunFolder, console: Console) -> None:
    """Print the results table of a finished run and the paths of its folder and final grid."""
    results = json.loads((folder.path / "results.json").read_text())
    table = Table(title=results["title"], title_justify="left", box=None, pad_edge=False)
    table.add_column("metric")
    table.add_column("value", justify="right")
    table.add_column("", style="dim")
    for row in results["rows"]:
        table.add_row(row["name"], number(row["value"]), row["note"])
    console.print(table)
    if not folder.status().get("repeatable", True):
        console.print("ended by trainer.max_time: not repeatable", highlight=False)
    console.print(
        f"\nrun folder  {folder.path}\ngrid        {folder.samples / 'final.png'}", highlight=False, soft_wrap=True
    )


def number(value: float | str | None) -> str:
    """Four significant digits; integers with thin separators."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def markdown(title: str, rows: list[dict]) -> str:
    """The same table for results.md."""
    lines = [f"# {title}", "", "| metric | value | |", "|---|---:|---|"]
    return "\n".join(lines + [f"| {row['name']} | {number(row['value'])} | {row['note']} |" for row in rows]) + "\n"
