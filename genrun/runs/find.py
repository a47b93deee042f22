"""Find runs below a folder, and read what a list of them shows. This needs neither torch nor Hydra."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from genrun.errors import Refused, nearest
from genrun.runs.folder import RunFolder

DISTANCE = "Fréchet distance (classifier)"  # decides which run is the best
HIDDEN = ("model=", "data=", "paths.", "run.", "evaluation", "logger", "hardware.", "sweep.", "hydra", "sample.n")


@dataclass(frozen=True)
class RunSummary:
    """What a list says of a run, from the small JSON files of its folder.

    Args:
        folder: the run folder.
        status: the content of status.json.
        overrides: the words of the command that started it.
        results: the content of results.json; empty if there is none yet.
    """

    folder: RunFolder
    status: dict[str, Any]
    overrides: list[str] = field(default_factory=list)
    results: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the folder: the id, or run.name."""
        return self.folder.path.name

    @property
    def id(self) -> str:
        return str(self.status.get("id", self.name))

    @cached_property
    def config(self) -> dict[str, Any]:
        """The configuration as plain dictionaries; interpolations are not resolved, because a saved one has none."""
        return read_yaml(self.folder.path / "config.yaml")

    @property
    def model(self) -> str:
        return str(self.config.get("model", {}).get("name", ""))

    @property
    def data(self) -> str:
        return str(self.config.get("data", {}).get("name", ""))

    @cached_property
    def state(self) -> str:
        """`done`, `running`, `interrupted`, `failed` or `new`; a run that was killed counts as interrupted."""
        state = str(self.status.get("state", "new"))
        return "interrupted" if state == "running" and not self.at_work() else state

    def at_work(self) -> bool:
        """Return whether a process holds the lock on the folder."""
        try:
            descriptor = os.open(self.folder.path / ".lock", os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    @property
    def started(self) -> str:
        """When its first attempt began, in ISO 8601; these sort by time."""
        attempts = self.status.get("attempts") or [{}]
        return str(attempts[0].get("started", ""))

    @property
    def words(self) -> list[str]:
        """The overrides in which the run differs from the default of its model and data."""
        return [word for word in self.overrides if not word.lstrip("+~").startswith(HIDDEN)]

    @cached_property
    def rows(self) -> dict[str, dict[str, Any]]:
        """The rows of results.json by the name of the metric."""
        return {str(row["name"]): row for row in self.results.get("rows", [])}

    def value(self, metric: str) -> float | str | None:
        return self.rows.get(metric, {}).get("value")

    def option(self, key: str) -> Any:
        """Return the value of a dotted option, or of `model`, `data`, `state`, `id`; None if there is no such option."""
        if key in ("model", "data", "state", "id"):
            return getattr(self, key)
        node: Any = self.config
        for part in key.split("."):
            if not isinstance(node, dict) or part not in node:
                return None
            node = node[part]
        return node


def read_yaml(file: Path) -> dict[str, Any]:
    """Read a YAML file with the quick parser; empty if it cannot be read.

    Plain data only: no tag makes an object.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        content = yaml.load(file.read_text(), Loader=loader)
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def read_summary(path: Path) -> RunSummary:
    """Read the summary of a run folder.

    Raises:
        Refused: a record of the run is damaged.
    """
    folder = RunFolder(path)
    status, provenance, results = folder.status(), read_json(path / "provenance.json"), read_json(path / "results.json")
    overrides = [str(word) for word in provenance.get("overrides", [])]
    return RunSummary(folder, status, overrides, results)


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON file with an object; empty if it is not there.

    Raises:
        Refused: it is damaged.
    """
    try:
        content = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Refused(f"{file} cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise Refused(f"{file} is not the record of a run")
    return content


def runs_below(outputs: Path) -> tuple[list[RunSummary], list[str]]:
    """Return all runs below a folder of outputs, the newest first, and a line for each folder that cannot be read."""
    found, broken = [], []
    for status in outputs.glob("*/*/status.json"):
        if ".old-" in status.parent.name or status.parent.parent.name == "sweeps":
            continue
        try:
            found.append(read_summary(status.parent))
        except Refused as error:
            broken.append(str(error))
    return sorted(found, key=lambda run: run.started, reverse=True), broken


def matching(runs: Iterable[RunSummary], conditions: Sequence[str]) -> list[RunSummary]:
    """Return the runs that fulfil all conditions: `key=value` of an option, `key!=value`, or a text in their command or id.

    Raises:
        Refused: no run has such an option.
    """
    left = list(runs)
    for condition in conditions:
        key, equals, wanted = condition.partition("=")
        if not equals:
            left = [run for run in left if condition in f"{run.name} {run.model} {run.data} {' '.join(run.overrides)}"]
            continue
        negated, key = key.endswith("!"), key.rstrip("!")
        values = [run.option(key) for run in left]
        if left and all(value is None for value in values):
            raise Refused(f"{condition}: no run has the option {key}{nearest(key, ('model', 'data', 'state', 'seed'))}")
        texts = wanted.split(",")
        left = [run for run, value in zip(left, values, strict=True) if (as_text(value) in texts) != negated]
    return left


def as_text(value: Any) -> str:
    """Format an option as one writes it on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def find_run(asked: str, outputs: Path) -> Path:
    """Return the folder of the run that a user names.

    Args:
        asked: a path; an id, a name or its beginning; `last`; or `best`, also with conditions: `best:model=vae,data=mnist`.
        outputs: the folder below which runs are looked for.

    Raises:
        Refused: there is no such run, or there are several.
    """
    if os.sep in asked or Path(asked).exists():
        return Path(asked)
    runs, _ = runs_below(outputs)
    if not runs:
        raise Refused(f"{asked}: there are no runs in {outputs}; give a path, or paths.outputs=…")
    if asked == "last":
        return runs[0].folder.path
    if asked == "best" or asked.startswith("best:"):
        return best_run(runs, asked).folder.path
    named = [run for run in runs if run.name.startswith(asked) or run.id.startswith(asked)]
    exact = [run for run in named if asked in (run.name, run.id)]
    if len(found := exact or named) == 1:
        return found[0].folder.path
    if not found:
        near = nearest(asked, [run.name for run in runs])
        raise Refused(f"{asked}: no run of this id or name in {outputs}{near}; `genrun list` shows all")
    listed = ", ".join(str(run.folder.path) for run in found[:5])
    raise Refused(f"{asked}: {len(found)} runs begin so: {listed}{' …' if len(found) > 5 else ''}; write more of the id")


def best_run(runs: list[RunSummary], asked: str) -> RunSummary:
    """Return the finished run with the smallest Fréchet distance.

    Raises:
        Refused: no run fulfils the conditions, or those that do cannot be compared.
    """
    conditions = [part for part in asked.removeprefix("best").removeprefix(":").split(",") if part]
    left = [run for run in matching(runs, conditions) if isinstance(run.value(DISTANCE), int | float)]
    if not left:
        raise Refused(f"{asked}: no run that fulfils this has a {DISTANCE}; `genrun evaluate RUN` judges one")
    if len(data := sorted({run.data for run in left})) > 1:
        raise Refused(f"{asked}: distances on different data cannot be compared; add data=…: {', '.join(data)}")
    return min(left, key=lambda run: run.value(DISTANCE))
