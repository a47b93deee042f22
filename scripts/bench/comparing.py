"""Compare two records: which ratios became worse, and which rows are in one of them only."""

from __future__ import annotations

from collections.abc import Iterable

from scripts.bench.record import Record
from scripts.bench.rows import Row

WORSE = 0.2  # a ratio may fall by this share before it counts as worse


def compare(before: Record, now: Record) -> tuple[list[str], bool]:
    """Compare what was measured now with a committed record.

    Returns:
        lines to print, and whether a ratio is worse by more than `WORSE`.
    """
    lines = other_machine(before, now)
    old, new = by_name(before.rows), by_name(now.rows)
    worse = [
        f"worse: {shown(row)}: {row.ratio:.2f}, was {old[name].ratio:.2f} ({row.ratio / old[name].ratio - 1:+.0%})"
        for name, row in new.items()
        if name in old and row.ratio is not None and old[name].ratio is not None
        if row.ratio < (1 - WORSE) * old[name].ratio
    ]
    gone = [row for name, row in old.items() if name not in new or (row.ratio and new[name].ratio is None)]
    fresh = [row for name, row in new.items() if name not in old or (row.ratio and old[name].ratio is None)]
    lines += worse
    lines += [f"only in the file, not measured now: {shown(row)}" for row in gone]
    lines += [f"measured now, not in the file: {shown(row)}" for row in fresh]
    return lines, bool(worse)


def other_machine(before: Record, now: Record) -> list[str]:
    """Return one line if the record is of another kind of machine."""
    differs = [key for key in now.machine if before.machine.get(key) != now.machine[key]]
    if not differs:
        return []
    was = ", ".join(f"{key} {before.machine.get(key)}, here {now.machine[key]}" for key in differs)
    return [f"the file is of another machine, ratios may differ: {was}"]


def by_name(rows: Iterable[Row]) -> dict[tuple[str, str], Row]:
    return {(row.section, row.name): row for row in rows}


def shown(row: Row) -> str:
    return f"{row.section}: {row.name}"
