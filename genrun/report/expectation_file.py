"""Read what a reproduction expects from conf/expected/NAME.yaml or a file of one's own, and refuse what is wrong in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from genrun.config.schema import check_name
from genrun.errors import Refused, nearest
from genrun.report.expectations import (
    HELD,
    NOT_HELD,
    Claim,
    Expectations,
    ExpectedFigure,
    ExpectedRun,
    Number,
    Quantity,
    Untested,
)
from genrun.runs.records import ANY, NUMBER, TEXT, check_form, check_yaml, first_line

RELATIONS = ("below", "above")

_PLACE = {"run": str, "metric?": str, "epoch?": int, "real?": bool}
_RUN = {
    "words": [str],
    "seeds": [int],
    "minutes": NUMBER,
    "refits?": str,
    "on_request?": str,
    "hardware?": str,
    "commit?": str,
}
_FORM = {
    "document": str,
    "runs": {ANY: _RUN},
    "rows": [dict],
    "figures?": [{"source": str, "shows": str, "run": str, "file": str, "beside?": str}],
    "miniature": [str],
}
_TEXTS = {"source": str, "published?": TEXT, "differs?": str}
_MEASURED = {**_TEXTS, "of_machine?": bool}
_ROWS = {  # the key that only this kind of row has → its form
    "number": {"number": str, "run": str, "metric": str, "values": [NUMBER], "epoch?": int, **_MEASURED},
    "relation": {
        **{"claim": str, "left": _PLACE, "relation": str, "right": (dict, *NUMBER), "expected": str},
        **{"factor?": NUMBER, "margin?": NUMBER, **_MEASURED},
    },
    "untested": {"claim": str, "untested": str, "evidence?": str, **_TEXTS},
}


def targets() -> dict[str, Traversable]:
    """Return the files of the package's targets by name."""
    files = [file for file in (resources.files("genrun.conf") / "expected").iterdir() if file.name.endswith(".yaml")]
    return {file.name.removesuffix(".yaml"): file for file in sorted(files, key=lambda file: file.name)}


def read_expectations(name: str) -> Expectations:
    """Read the expectations of a target.

    Args:
        name: of a target of the package, or the path of a YAML file.

    Raises:
        Refused: there is no such target, or the file is damaged.
    """
    there = targets()
    file: Traversable | Path | None = Path(name) if name.endswith(".yaml") else there.get(name)
    if file is None or not file.is_file():
        raise Refused(
            f"reproduce {name}: no such target or .yaml file{nearest(name.lower(), there)}; "
            f"there are {', '.join(there)}, and all"
        )
    check_name(name, stem := Path(file.name).stem)
    try:
        text = file.read_text(encoding="utf-8")
        check_yaml(text)
        content = yaml.safe_load(text)
        check_form(content, dict)
        _no_others(content, _FORM, "it")
        for key, run in (content.get("runs") or {}).items():
            check_form(run, dict, f"runs.{key}")
            _no_others(run, _RUN, f"runs.{key}")
        check_form(content, _FORM)
        return _expectations(stem, content)
    except Exception as error:  # YAML has a dozen kinds
        raise Refused(f"{file}: {first_line(error)}; correct it") from None


def _expectations(name: str, content: dict[str, Any]) -> Expectations:
    runs = {key: _run(key, value) for key, value in content["runs"].items()}
    if all(run.on_request or run.refits for run in runs.values()):
        raise ValueError("runs: expected one that is trained, and not on request")
    for run in runs.values():
        if not run.seeds or len(set(run.seeds)) < len(run.seeds):
            raise ValueError(f"runs.{run.name}.seeds: expected at least one, and none twice, got {list(run.seeds)}")
        if run.refits is not None and (run.refits not in runs or runs[run.refits].refits is not None):
            raise ValueError(f"runs.{run.name}.refits: expected a run that is trained, got {run.refits}")
        if run.refits is not None and not set(run.seeds) <= set(runs[run.refits].seeds):
            raise ValueError(f"runs.{run.name}.seeds: expected seeds of {run.refits}, got {list(run.seeds)}")
        if run.refits is not None and runs[run.refits].on_request and not run.on_request:
            raise ValueError(f"runs.{run.name}.on_request is missing: {run.refits} has it")
    rows = [_row(row, f"rows.{place}", runs) for place, row in enumerate(content["rows"])]
    for place, one in enumerate(content.get("figures", [])):
        _no_others(one, _FORM["figures?"][0], f"figures.{place}")
    figures = [ExpectedFigure(**one) for one in content.get("figures", [])]
    for place, figure in enumerate(figures):
        _known(figure.run, runs, f"figures.{place}")
        if not figure.file.startswith(("samples/", "figures/")) or ".." in figure.file:
            raise ValueError(f"figures.{place}.file: expected samples/… or figures/…, got {figure.file}")
    return Expectations(
        name, content["document"], runs, tuple(rows), tuple(figures), tuple(map(str, content["miniature"]))
    )


def _run(name: str, content: dict[str, Any]) -> ExpectedRun:
    lists = {key: tuple(content[key]) for key in ("words", "seeds")}
    return ExpectedRun(name, **{**content, **lists})


def _row(row: dict[str, Any], where: str, runs: Mapping[str, ExpectedRun]) -> Number | Claim | Untested:
    kind = next((kind for kind in _ROWS if kind in row), None)
    if kind is None:
        raise ValueError(f"{where}: expected one of {', '.join(_ROWS)}, got {', '.join(map(str, row)) or 'nothing'}")
    form = _ROWS[kind]
    check_form(row, form, where)
    _no_others(row, form, where)
    texts = {key: row[key] for key in ("published", "differs", "of_machine") if row.get(key)}
    if kind == "untested":
        return Untested(row["claim"], row["source"], row["untested"], row.get("evidence", ""), **texts)
    if kind == "number":
        _known(row["run"], runs, where)
        quantity = Quantity(row["run"], row["metric"], row.get("epoch"))
        values = tuple(_finite(value, f"{where}.values") for value in row["values"])
        if values and len(values) != len(runs[quantity.run].seeds):
            raise ValueError(f"{where}.values: expected one for each seed {list(runs[quantity.run].seeds)}, or none")
        return Number(row["number"], row["source"], quantity, values, **texts)
    for key, choices in (("relation", RELATIONS), ("expected", (HELD, NOT_HELD))):
        if row[key] not in choices:
            raise ValueError(f"{where}.{key}: expected {' or '.join(choices)}, got {row[key]}")
    left = _quantity(row["left"], None, f"{where}.left", runs)
    right = row["right"]
    right = _quantity(right, left.metric, f"{where}.right", runs) if isinstance(right, dict) else _finite(right, where)
    amounts = _finite(row.get("factor", 1), f"{where}.factor"), _finite(row.get("margin", 0), f"{where}.margin")
    if amounts[0] <= 0:
        raise ValueError(f"{where}.factor: expected above 0, got {amounts[0]:g}")
    return Claim(
        *(row["claim"], row["source"], left, row["relation"] == "below", right),
        *(*amounts, row["expected"] == HELD),
        **texts,
    )


def _quantity(content: dict[str, Any], metric: str | None, where: str, runs: Mapping[str, ExpectedRun]) -> Quantity:
    check_form(content, _PLACE, where)
    _no_others(content, _PLACE, where)
    _known(content["run"], runs, where)
    if (metric := content.get("metric", metric)) is None:
        raise ValueError(f"{where}.metric is missing")
    return Quantity(content["run"], metric, content.get("epoch"), content.get("real", False))


def _finite(value: float, where: str) -> float:
    if not math.isfinite(number := float(value)):
        raise ValueError(f"{where}: expected finite numbers, got {value}")
    return number


def _known(run: str, runs: Mapping[str, ExpectedRun], where: str) -> None:
    if run not in runs:
        raise ValueError(f"{where}.run: no run {run}{nearest(run, runs)}")


def _no_others(content: dict[str, Any], form: Mapping[str, Any], where: str) -> None:
    known = [key.rstrip("?") for key in form]
    if others := [str(key) for key in content if key not in known]:
        raise ValueError(f"{where}.{others[0]}: no such key{nearest(others[0], known)}; there are {', '.join(known)}")
