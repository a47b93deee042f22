"""Comparison of a run with finished runs (`run.beside`): the runs, the options in which they differ, and one table."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from genrun.config.container import to_container
from genrun.errors import Refused
from genrun.report.tables import number
from genrun.runs.folder import RunFolder
from genrun.runs.identity import data_identity
from genrun.runs.open import open_run

# ------------------------------------------------------------------------------------------------------- runs and options


def runs_beside(cfg: DictConfig, folder: RunFolder) -> list[RunFolder]:
    """Return the finished runs that `run.beside` names, without this one, in the order of their paths.

    Raises:
        Refused: a pattern matches neither a finished run nor this one.
    """
    found: dict[Path, RunFolder] = {}
    for pattern in cfg.run.get("beside") or []:
        there = [RunFolder(Path(path)) for path in sorted(glob.glob(pattern))]
        states = {run.path.resolve(): run.status()["state"] for run in there}
        own = states.pop(folder.path.resolve(), None)  # this run may be in progress
        if own is None and "done" not in states.values():
            got = ", ".join(sorted(set(states.values()))) or "nothing there"
            raise Refused(f"run.beside: {pattern}: expected finished runs, got {got}")
        found |= {path: run for run in there if states.get(path := run.path.resolve()) == "done"}
    return [found[path] for path in sorted(found)]


def check_beside(cfg: DictConfig, folder: RunFolder) -> None:
    """Check the runs that `run.beside` names, before anything is written.

    Raises:
        Refused: as in `runs_beside`, or a run has other data, a record that cannot be read, or cannot be opened without trust.
    """
    from genrun.config.trust import check_trusted

    for other in runs_beside(cfg, folder):
        run = open_run(other.path)
        if run.facts.checksum != cfg.data.facts.checksum:
            raise Refused(
                f"run.beside: {other.path} was trained on other data ({run.facts.checksum[:8]}, here {cfg.data.facts.checksum[:8]})"
            )
        check_trusted(to_container(run.config.model), f"run.beside: {other.path}: model")
        for record in (run.folder.results, run.metrics, run.method):
            try:
                record()
            except Refused as error:
                raise Refused(f"run.beside: {error}") from error


def table_rows(run: RunFolder) -> list[dict[str, Any]]:
    """Return the rows of a run's results.json; empty if the file is missing or damaged."""
    try:
        return run.results()["rows"]
    except Refused:
        return []


def distinguishing_options(configs: Sequence[DictConfig | dict[str, Any]]) -> list[dict[str, Any]]:
    """Return, for each run, the values of the options in which the runs differ.

    An option is left out if the options before it already tell the same runs apart.
    """
    described = [dotted_options(described_run(cfg)) for cfg in configs]
    known: list[tuple[str, ...]] = [()] * len(configs)
    columns: list[str] = []
    for key in dict.fromkeys(key for one in described for key in one):
        values = [str(one.get(key, "–")) for one in described]
        if len(set(zip(known, values, strict=True))) > len(set(known)):
            columns.append(key)
            known = [(*before, value) for before, value in zip(known, values, strict=True)]
    return [{key: one.get(key) for key in columns} for one in described]


def described_run(cfg: DictConfig | dict[str, Any]) -> dict[str, Any]:
    """Return everything that decides a run's result, with the names of its model and its data first."""
    model = dict(to_container(cfg["model"]))
    data = data_identity(cfg)
    return {
        "model": model.pop("name"),
        "data": cfg["data"]["name"],
        **model,
        "source": data.pop("source"),
        **data,
        "trainer": to_container(cfg["trainer"]),
        "training": to_container(cfg["callbacks"]["training"]),
        "precision": cfg["hardware"]["precision"],
        "seed": cfg["seed"],
    }


def dotted_options(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested options into dotted keys and values; the value of a part's own key is the name of its class."""
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
    """Return settings and values of this run and the runs beside it, sorted by settings; empty if there are no others.

    Args:
        cfg: configuration of this run.
        folder: folder of this run.
        rows: rows of this run's results.json.
    """
    others = [open_run(other.path) for other in runs_beside(cfg, folder)]
    if not others:
        return {}
    tables = [rows, *(run.folder.results()["rows"] for run in others)]
    settings = distinguishing_options([cfg, *(run.config for run in others)])
    names = [folder.path.name, *(run.folder.path.name for run in others)]
    runs = [
        {"run": name, "settings": setting, "values": {row["name"]: row["value"] for row in table}}
        for name, setting, table in zip(names, settings, tables, strict=True)
    ]
    real = {row["name"]: row["floor"] for row in rows if "floor" in row}
    return {"runs": sorted(runs, key=lambda run: sort_key(run["settings"])), "real": real}


def sort_key(settings: dict[str, Any]) -> list[tuple[bool, float, str]]:
    """Return a sort key of settings: numbers by size, texts by alphabet."""
    numeric = [isinstance(value, int | float) for value in settings.values()]
    return [
        (not is_number, float(value) if is_number else 0.0, str(value))
        for is_number, value in zip(numeric, settings.values(), strict=True)
    ]


def comparison_lines(table: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Format the table as headings and lines: a column for real images and each run; first settings, then all metrics."""
    runs, real = table["runs"], table["real"]
    settings = [[key, "", *(option_text(run["settings"][key]) for run in runs)] for key in runs[0]["settings"]]
    names = dict.fromkeys(name for run in runs for name, value in run["values"].items() if value is not None)
    values = [
        [name, number(real[name]) if name in real else "", *(number(run["values"].get(name)) for run in runs)]
        for name in names
    ]
    return ["run", "real", *(run["run"] for run in runs)], settings + values


def option_text(value: Any) -> str:
    """Format the value of a setting for tables and figures."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if type(value) is int else str("–" if value is None else value)


def option_labels(settings: list[dict[str, Any]]) -> list[str]:
    """Return a label for the settings of each run: texts alone, other values with the name of their option.

    A text also gets the name of its option if another option has the same text in some run.

    Args:
        settings: for each run the same options and their values.
    """
    keys = list(settings[0])
    names = short_names(keys)
    values = {key: {one[key] for one in map(hashable, settings)} for key in keys}
    labels = []
    for one in settings:
        parts = []
        for key, name in zip(keys, names, strict=True):
            others = set().union(*(values[other] for other in keys if other != key))
            alone = isinstance(one[key], str) and not values[key] & others
            rounded = len({option_text(value) for value in values[key]}) < len(values[key])
            text = str(one[key]) if rounded else option_text(one[key])  # two values may round to the same text
            parts.append(text if alone else f"{name} {text}")
        labels.append(", ".join(parts))
    return labels


def hashable(setting: dict[str, Any]) -> dict[str, Any]:
    """Return a setting with lists as texts."""
    return {key: str(value) if isinstance(value, list) else value for key, value in setting.items()}


def short_names(keys: Iterable[str]) -> list[str]:
    """Return for each dotted option the last of its words, as many as it takes to tell it from the other options."""
    split = [key.split(".") for key in keys]
    names = []
    for words in split:
        ends = (words[-count:] for count in range(1, len(words) + 1))
        names.append(".".join(next((end for end in ends if sum(one[-len(end) :] == end for one in split) == 1), words)))
    return names
