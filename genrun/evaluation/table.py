"""The form in which results.json stores a table."""

from __future__ import annotations

from typing import Any

from genrun.evaluation.judge import Judge
from genrun.evaluation.rows.row import Row
from genrun.runs.folder import FORMAT, TABLE


def record(title: str, rows: list[Row], judge: Judge) -> dict[str, Any]:
    """Return a table as results.json stores it: its rows, the data, the seed and the networks of the judge."""
    return {
        "format": FORMAT,
        "table": TABLE,
        "title": title,
        "seed": judge.seed,
        "data": judge.facts.checksum,
        "features": judge.hashes,
        "rows": [row.to_dict() | {"seed": judge.seed} for row in rows],
    }
