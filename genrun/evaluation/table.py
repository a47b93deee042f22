"""What results.json holds of a table."""

from __future__ import annotations

from typing import Any

from genrun.evaluation.judge import Judge
from genrun.evaluation.rows.row import Row
from genrun.runs.folder import FORMAT


def record(title: str, rows: list[Row], judge: Judge) -> dict[str, Any]:
    """Return a table as results.json holds it: its rows, and what they were judged by."""
    return {
        "format": FORMAT,
        "title": title,
        "seed": judge.seed,
        "data": judge.facts.checksum,
        "features": judge.hashes,
        "rows": [row.to_dict() | {"seed": judge.seed} for row in rows],
    }
