"""What a list says of a run, read from the small files of its folder. This needs no torch."""

from __future__ import annotations

import fcntl
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from genrun.errors import Refused
from genrun.runs.folder import FORMAT, RunFolder
from genrun.runs.records import read_plain_config

NAMED = (
    "model",
    "data",
    "state",
    "id",
    "name",
)  # a condition may ask for these beside the options of the configuration
STATES = ("done", "running", "interrupted", "failed")
# Words of a command that a list does not repeat: they have a column of their own, or do not decide the result.
HIDDEN = ("model=", "data=", "paths.", "run.", "evaluation", "logger", "hardware.", "sweep.", "hydra", "sample.n")


@dataclass(frozen=True)
class RunSummary:
    """What a list says of a run, from the small files of its folder.

    Args:
        folder: the run folder.
        status: the content of status.json.
        config: the configuration as plain dictionaries.
        overrides: the words of the command that started it.
        results: the content of results.json; empty if there is none yet.
    """

    folder: RunFolder
    status: dict[str, Any]
    config: dict[str, Any]
    overrides: list[str]
    results: dict[str, Any]

    @property
    def name(self) -> str:
        """The name of the folder: the id, or run.name."""
        return self.folder.path.name

    @property
    def id(self) -> str:
        return str(self.status.get("id", self.name))

    @property
    def model(self) -> str:
        return self.config["model"]["name"]

    @property
    def data(self) -> str:
        return self.config["data"]["name"]

    @cached_property
    def state(self) -> str:
        """`done`, `running`, `interrupted` or `failed`; a run that was killed counts as interrupted."""
        return state_of(self.folder, self.status)

    @property
    def started(self) -> str:
        """When its last attempt began, in ISO 8601 and UTC, which sorts by time."""
        attempts = self.status["attempts"]
        return str(attempts[-1].get("started", "")) if attempts else ""

    @property
    def words(self) -> list[str]:
        """The overrides in which the run differs from the default of its model and data."""
        return [word for word in self.overrides if not word.lstrip("+~").startswith(HIDDEN)]

    @cached_property
    def rows(self) -> dict[str, dict[str, Any]]:
        """The rows of results.json by the name of the metric."""
        return {row["name"]: row for row in self.results.get("rows", [])}

    @cached_property
    def score(self) -> float | None:
        """The score on held-out images in the last row of metrics.csv that has one, as the last weights are judged; None: no row has.

        Raises:
            Refused: metrics.csv is damaged.
        """
        return last_score(self.folder.metrics())

    def value(self, metric: str) -> float | str | None:
        """Return the value of a metric; None if it was not measured, or is no finite number."""
        value = self.rows.get(metric, {}).get("value")
        return None if isinstance(value, float) and not math.isfinite(value) else value

    @property
    def state_text(self) -> str:
        """How far it is, where it came from, and why it stopped."""
        epoch = f", epoch {self.status['epoch']}" if "epoch" in self.status else ""
        origin = f", imported from {self.status['imported'].get('from')}" if "imported" in self.status else ""
        stopped = self.state in ("failed", "interrupted") and self.status.get("error")
        return f"{self.state}{epoch}{origin}{f': {stopped}' if stopped else ''}"

    def option(self, key: str) -> Any:
        """Return the value of a dotted option, or of one of `NAMED`; None if there is no such option."""
        if key in NAMED:
            return getattr(self, key)
        node: Any = self.config
        for part in key.split("."):
            if not isinstance(node, dict) or part not in node:
                return None
            node = node[part]
        return node


def last_score(rows: Iterable[dict[str, Any]]) -> float | None:
    """Return the last of the scores on held-out images in rows of metrics.csv; None: no row has one."""
    scores = [
        value for row in rows for name, value in row.items() if name.startswith("val/") and name.endswith("score")
    ]
    return scores[-1] if scores else None


def state_of(folder: RunFolder, status: dict[str, Any]) -> str:
    """Return the state of a run: its status.json says `running` also when its process was killed, which counts as interrupted."""
    state = status["state"]
    return "interrupted" if state == "running" and not at_work(folder.path) else state


def at_work(folder: Path) -> bool:
    """Return whether a process holds the lock on a run folder."""
    try:
        descriptor = os.open(folder / ".lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system that cannot lock: genrun does not run there
        return False
    finally:
        os.close(descriptor)
    return False


def read_summary(path: Path) -> RunSummary:
    """Read the summary of a run folder.

    Raises:
        Refused: it is no run folder, or one of its records is damaged.
    """
    folder = RunFolder(path)
    status, config = folder.status(), read_plain_config(path)
    if status["format"] > FORMAT:
        raise Refused(f"{path} has format {status['format']}, this genrun reads up to {FORMAT}: use a newer genrun")
    if status["state"] == "new":
        raise Refused(f"{path}: expected a run folder (with status.json), found none there")
    results = folder.results() if (path / "results.json").exists() else {}
    return RunSummary(folder, status, config, folder.provenance().get("overrides", []), results)


def runs_below(outputs: Path) -> tuple[list[RunSummary], list[str]]:
    """Return all runs below a folder of outputs, the newest first, and a line for each folder that cannot be read.

    A run that was moved aside (`<id>.old-N`) is left out.
    """
    return summaries(file.parent for file in outputs.glob("*/*/status.json") if is_current(file.parent))


def is_current(folder: Path) -> bool:
    """Return whether this is a run folder that was not moved aside (`<id>.old-N`) and is not being made or deleted (`.<id>…`)."""
    return (folder / "status.json").is_file() and ".old-" not in folder.name and not folder.name.startswith(".")


def summaries(folders: Iterable[Path]) -> tuple[list[RunSummary], list[str]]:
    """Return the runs in these folders, the newest first, and a line for each folder that cannot be read."""
    found, broken = [], []
    for folder in folders:
        try:
            found.append(read_summary(folder))
        except Refused as error:
            broken.append(str(error))
    return sorted(found, key=lambda run: (run.started, str(run.folder.path)), reverse=True), sorted(broken)
