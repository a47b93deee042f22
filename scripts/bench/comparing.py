"""Compare two records: which ratios became worse, which goals are missed now, and which rows are in one of them only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from scripts.bench.record import Record
from scripts.bench.rows import Row

WORSE = 0.2  # a ratio may fall by this share before it counts as worse


class Comparison(NamedTuple):
    """How what was measured now compares with an earlier record."""

    lines: list[str]  # to print
    worse: bool  # whether a ratio or a goal is worse
    compared: int  # ratios, and goals of rows without a ratio, that both records have


def compare(before: Record, now: Record) -> Comparison:
    """Compare what was measured now with an earlier record.

    A ratio is worse if it fell by more than `WORSE`, or is no number. A row without a ratio is worse if it met its goal and misses it now.

    Raises:
        ValueError: a subject was measured with another share of the sizes than in the earlier record.
    """
    before.check_shares({subject: how.share for subject, how in now.measured.items()})
    old, new = by_name(before.rows), by_name(now.rows)
    both = [(old[name], row) for name, row in new.items() if name in old]
    ratios = [(was, row) for was, row in both if was.ratio is not None and row.ratio is not None]
    goals = [(was, row) for was, row in both if was.ratio is row.ratio is None and None not in (was.goal, row.goal)]
    worse = [
        f"worse: {shown(row)}: {row.ratio:.2f}, was {was.ratio:.2f} ({row.ratio / was.ratio - 1:+.0%})"
        for was, row in ratios
        if not row.ratio >= (1 - WORSE) * was.ratio  # also true of NaN
    ]
    worse += [
        f"goal missed: {shown(row)}: {row.ours:.3g} {row.unit}, expected at most {row.goal:g}, was {was.ours:.3g}"
        for was, row in goals
        if was.met and not row.met
    ]
    gone = [row for name, row in old.items() if name not in new or (row.ratio is not None and new[name].ratio is None)]
    fresh = [row for name, row in new.items() if name not in old or (row.ratio is not None and old[name].ratio is None)]
    lines = [*other_machine(before, now), *worse]
    lines += [f"only in the file, not measured now: {shown(row)}" for row in gone]
    lines += [f"measured now, not in the file: {shown(row)}" for row in fresh]
    return Comparison(lines, bool(worse), len(ratios) + len(goals))


def other_machine(before: Record, now: Record) -> list[str]:
    """Return one line if the record is of another kind of machine."""
    differs = [key for key in now.machine if before.machine.get(key) != now.machine[key]]
    if not differs:
        return []
    was = ", ".join(f"{key} {before.machine.get(key)}, here {now.machine[key]}" for key in differs)
    return [f"the file is of another machine, ratios may differ: {was}"]


def by_name(rows: Iterable[Row]) -> dict[tuple[str, str], Row]:
    return {(row.subject, row.name): row for row in rows}


def shown(row: Row) -> str:
    return f"{row.subject}: {row.name}"
