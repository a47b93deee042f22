"""Finished runs beside this one (`run.beside`): which they are, what tells them apart, and one table of them all."""

from __future__ import annotations

import glob
import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from genrun.config.container import to_container
from genrun.errors import Refused
from genrun.report.tables import number
from genrun.runs.folder import RunFolder
from genrun.runs.identity import data_identity
from genrun.runs.open import open_run

# -------------------------------------------------------------------------------------------------------- which they are


def runs_beside(cfg: DictConfig, folder: RunFolder) -> list[RunFolder]:
    """The finished runs that `run.beside` names, but for this one, in the order of their paths.

    Raises:
        Refused: a folder is not that of a finished run, or a pattern fits none.
    """
    found: dict[Path, RunFolder] = {}
    for pattern in cfg.run.get("beside") or []:
        there = [RunFolder(Path(path)) for path in sorted(glob.glob(pattern))]
        states = {run.path.resolve(): run.status()["state"] for run in there}
        own = states.pop(folder.path.resolve(), None)  # it may be at work
        if own is None and "done" not in states.values():
            got = ", ".join(sorted(set(states.values()))) or "nothing there"
            raise Refused(f"run.beside: {pattern}: expected finished runs, got {got}")
        found |= {path: run for run in there if states.get(path := run.path.resolve()) == "done"}
    return [found[path] for path in sorted(found)]


def check_beside(cfg: DictConfig, folder: RunFolder) -> None:
    """What can be wrong with the runs beside this one, before anything is written.

    Raises:
        Refused: as `runs_beside`; a run is of other data, has no table, or cannot be opened without trust.
    """
    from genrun.config.trust import check_trusted

    for other in runs_beside(cfg, folder):
        run = open_run(other.path)
        if run.facts.checksum != cfg.data.facts.checksum:
            raise Refused(
                f"run.beside: {other.path} was trained on other data ({run.facts.checksum[:8]}, here {cfg.data.facts.checksum[:8]})"
            )
        if not (other.path / "results.json").is_file():
            raise Refused(f"run.beside: {other.path} has no results.json; genrun evaluate {other.path} writes it")
        check_trusted(to_container(run.config.model), f"run.beside: {other.path}: model")


def table_rows(run: RunFolder) -> list[dict[str, Any]]:
    """The rows of its results.json; empty where there is none."""
    try:
        return json.loads((run.path / "results.json").read_text())["rows"]
    except (OSError, ValueError, KeyError):
        return []


def distinguishing_options(configs: list[DictConfig]) -> list[dict[str, Any]]:
    """For each run the values of the options in which they differ, but for those that follow from the ones before them."""
    described = [dotted_options(described_run(cfg)) for cfg in configs]
    known: list[tuple[str, ...]] = [()] * len(configs)
    columns: list[str] = []
    for key in dict.fromkeys(key for one in described for key in one):
        values = [str(one.get(key, "–")) for one in described]
        if len(set(zip(known, values, strict=True))) > len(set(known)):
            columns.append(key)
            known = [(*before, value) for before, value in zip(known, values, strict=True)]
    return [{key: one.get(key) for key in columns} for one in described]


def described_run(cfg: DictConfig) -> dict[str, Any]:
    """What decides a run's result, with the names of its model and its data first."""
    model = to_container(cfg.model)
    data = data_identity(cfg)
    return {
        "model": model.pop("name"),
        "data": cfg.data.name,
        **model,
        "source": data.pop("source"),
        **data,
        "trainer": to_container(cfg.trainer),
        "training": to_container(cfg.callbacks.training),
        "precision": cfg.hardware.precision,
        "seed": cfg.seed,
    }


def dotted_options(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys and their values; a part goes by the name of its class."""
    found: dict[str, Any] = {}
    for key, value in node.items():
        if isinstance(value, dict):
            found |= dotted_options(value, f"{prefix}{key}.")
        elif key == "_target_":
            found[prefix.rstrip(".") or "method"] = str(value).rpartition(".")[2]
        else:
            found[f"{prefix}{key}"] = value
    return found


# ---------------------------------------------------------------------------------------------------------- the table


def comparison_table(cfg: DictConfig, folder: RunFolder, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """This run and those beside it, sorted by what tells them apart: settings and values of each; nothing without any beside it.

    Args:
        rows: of this run's results.json.
    """
    others = [open_run(other.path) for other in runs_beside(cfg, folder)]
    if not others:
        return {}
    tables = [rows, *(run.results()["rows"] for run in others)]
    settings = distinguishing_options([cfg, *(run.config for run in others)])
    names = [folder.path.name, *(run.folder.path.name for run in others)]
    runs = [
        {"run": name, "settings": setting, "values": {row["name"]: row["value"] for row in table}}
        for name, setting, table in zip(names, settings, tables, strict=True)
    ]
    real = {row["name"]: row["floor"] for row in rows if "floor" in row}
    return {"runs": sorted(runs, key=lambda run: sort_key(run["settings"])), "real": real}


def sort_key(settings: dict[str, Any]) -> list[tuple[bool, float, str]]:
    """Numbers by their size, texts by the alphabet."""
    numeric = [isinstance(value, int | float) for value in settings.values()]
    return [
        (not is_number, float(value) if is_number else 0.0, str(value))
        for is_number, value in zip(numeric, settings.values(), strict=True)
    ]


def comparison_lines(table: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Headings and lines of the table as texts: a column for each run and one for real images, settings first, then every figure."""
    runs, real = table["runs"], table["real"]
    settings = [[key, "", *(option_text(run["settings"][key]) for run in runs)] for key in runs[0]["settings"]]
    names = dict.fromkeys(name for run in runs for name, value in run["values"].items() if value is not None)
    values = [
        [name, number(real[name]) if name in real else "", *(number(run["values"].get(name)) for run in runs)]
        for name in names
    ]
    return ["run", "real", *(run["run"] for run in runs)], settings + values


def option_text(value: Any) -> str:
    """A setting as tables and pictures say it."""
    return (
        number(value)
        if isinstance(value, int | float) and not isinstance(value, bool)
        else str("–" if value is None else value)
    )


def option_label(key: str, value: Any) -> str:
    """A setting by itself: a word says what it is, a number does not."""
    return option_text(value) if isinstance(value, str) else f"{key.rpartition('.')[2]} {option_text(value)}"
