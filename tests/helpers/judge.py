"""A judge of small images, small enough for seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from conftest import SHORT
from rich.console import Console

from genrun.config.compose import compose
from genrun.evaluation.judge import Judge
from genrun.evaluation.rows.row import Row
from genrun.verbs.judges import make_judge as judge_of_data


def options(folder: Path, *overrides: str) -> list[str]:
    return ["data=npz", f"data.source.path={folder}", "data.validation=700", *SHORT, *overrides]


def make_judge(folder: Path, *overrides: str) -> Judge:
    cfg = compose(options(folder, *overrides))
    return judge_of_data(cfg, Console(quiet=True))


def by_name(rows: list[Row]) -> dict[str, Row]:
    return {row.name: row for row in rows}


def some_samples(folder: Path, n: int, name: str = "test") -> dict[str, np.ndarray]:
    with np.load(folder / f"{name}.npz") as arrays:
        return {key: arrays[key][:n] for key in ("images", "labels")}
