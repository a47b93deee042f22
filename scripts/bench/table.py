"""Print the rows of the bench as one table."""

from __future__ import annotations

from itertools import groupby

from rich.console import Console
from rich.table import Table

from scripts.bench.record import Record
from scripts.bench.rows import Row


def show(record: Record, console: Console) -> None:
    """Print all rows by subject, with the machine above them."""
    console.print(", ".join(f"{key} {value}" for key, value in record.machine.items()), highlight=False)
    table = Table(box=None, pad_edge=False)
    table.add_column("measured here")
    for column in ("genrun", "other", "ratio", "goal"):
        table.add_column(column, justify="right", no_wrap=True)
    for subject, rows in groupby(record.rows, lambda row: row.subject):
        table.add_row(f"[bold]{subject}[/bold]", end_section=False)
        for row in rows:
            name = f"  {row.name}" + (f" [dim]({row.note})[/dim]" if row.note else "")
            table.add_row(name, number(row.ours, row.unit), number(row.other), number(row.ratio), goal(row))
    console.print(table)


def number(value: float | None, unit: str = "") -> str:
    """Return a number with three significant digits; whole from 100 on."""
    if value is None:
        return ""
    return (f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}") + (f" {unit}" if unit else "")


def goal(row: Row) -> str:
    """Return the goal of a row in words, marked if it is missed."""
    if row.goal is None:
        return ""
    text = f"{'≤' if row.ratio is None else '≥'} {row.goal:g}"
    return text if row.met else f"[red]{text} missed[/red]"
