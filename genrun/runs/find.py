"""Find runs below a folder, and read what a list of them shows. This needs no torch."""

from __future__ import annotations

import fcntl
import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from genrun.errors import Refused, nearest
from genrun.runs.folder import RunFolder
from genrun.runs.records import read_plain_config

DISTANCE = "Fréchet distance (observer)"  # decides which run is the best
NAMED = (
    "model",
    "data",
    "state",
    "id",
    "name",
)  # a condition may ask for these beside the options of the configuration
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
        state = self.status["state"]
        return "interrupted" if state == "running" and not at_work(self.folder.path) else state

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
        return self.rows.get(metric, {}).get("value")

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


# --------------------------------------------------------------------------------------------------------------- read


def read_summary(path: Path) -> RunSummary:
    """Read the summary of a run folder.

    Raises:
        Refused: it is no run folder, or one of its records is damaged.
    """
    folder = RunFolder(path)
    status, config = folder.status(), read_plain_config(path)
    if status["state"] == "new":
        raise Refused(f"{path}: expected a run folder (with status.json), found none there")
    results = folder.results() if (path / "results.json").exists() else {}
    return RunSummary(folder, status, config, folder.provenance().get("overrides", []), results)


def runs_below(outputs: Path) -> tuple[list[RunSummary], list[str]]:
    """Return all runs below a folder of outputs, the newest first, and a line for each folder that cannot be read.

    A run that was moved aside (`<id>.old-N`) is left out.
    """
    return summaries(
        file.parent
        for file in outputs.glob("*/*/status.json")
        if ".old-" not in file.parent.name and not file.parent.name.startswith(".")
    )


def summaries(folders: Iterable[Path]) -> tuple[list[RunSummary], list[str]]:
    """Return the runs in these folders, the newest first, and a line for each folder that cannot be read."""
    found, broken = [], []
    for folder in folders:
        try:
            found.append(read_summary(folder))
        except Refused as error:
            broken.append(str(error))
    return sorted(found, key=lambda run: (run.started, str(run.folder.path)), reverse=True), sorted(broken)


# --------------------------------------------------------------------------------------------------------------- find


def matching(runs: Iterable[RunSummary], conditions: Sequence[str]) -> list[RunSummary]:
    """Return the runs that fulfil all conditions.

    Args:
        conditions: `option=a,b` (one of these values), `option!=a,b` (none of them), or a text that is in the name, the model, the data or
            the command.

    Raises:
        Refused: no run has such an option.
    """
    left = list(runs)
    for condition in conditions:
        key, equals, wanted = condition.partition("=")
        if not equals:
            left = [run for run in left if condition in " ".join([run.name, run.model, run.data, *run.overrides])]
            continue
        negated, key = key.endswith("!"), key.rstrip("!")
        values = [run.option(key) for run in left]
        known = [*NAMED, *dict.fromkeys(name for run in left for name in dotted(run.config))]
        if left and key not in known:
            raise Refused(f"{condition}: no run has an option {key}{nearest(key, known)}")
        texts = wanted.split(",")
        left = [run for run, value in zip(left, values, strict=True) if (as_text(value) in texts) != negated]
    return left


def dotted(node: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all options."""
    for key, value in node.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from dotted(value, f"{prefix}{key}.")


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
    if os.sep in asked or os.path.lexists(asked):
        return Path(asked)
    runs, broken = runs_below(outputs)
    if not runs:
        left = f" that can be read ({broken[0]})" if broken else ""
        raise Refused(f"{asked}: there are no runs in {outputs}{left}; give a path, or paths.outputs=…")
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
    say = "have this name" if exact else "begin so"
    advice = "give its path" if exact else "write more of the id"
    raise Refused(f"{asked}: {len(found)} runs {say}: {listed}{', …' if len(found) > 5 else ''}; {advice}")


def best_run(runs: list[RunSummary], asked: str) -> RunSummary:
    """Return the finished run with the smallest Fréchet distance.

    Raises:
        Refused: no run fulfils the conditions, or those that do cannot be compared.
    """
    left = [run for run in matching(runs, best_conditions(asked)) if isinstance(run.value(DISTANCE), int | float)]
    if not left:
        raise Refused(f"{asked}: no run that fulfils this has a {DISTANCE}; `genrun evaluate RUN` judges one")
    if len(data := sorted({run.data for run in left})) > 1:
        raise Refused(f"{asked}: distances on different data cannot be compared; write best:data=… ({', '.join(data)})")
    return min(left, key=lambda run: run.value(DISTANCE))


def best_conditions(asked: str) -> list[str]:
    """Return the conditions in `best:model=vae,data=mnist`; a part without `=` is another value of the condition before it."""
    conditions: list[str] = []
    for part in filter(None, asked.removeprefix("best").removeprefix(":").split(",")):
        if conditions and "=" not in part:
            conditions[-1] += f",{part}"
        else:
            conditions.append(part)
    return conditions


def find_runs(words: Sequence[str], outputs: Path) -> tuple[list[RunSummary], list[str]]:
    """Return the runs that some words name, without repetition, and a line for each folder that cannot be read.

    Args:
        words: each as for `find_run`, or a pattern of paths, a folder with runs below it, or a condition such as model=vae. Without
            any that names runs: all runs in `outputs`.

    Raises:
        Refused: a word names no run.
    """
    named = [word for word in words if os.path.lexists(word) or word.startswith("best:") or "=" not in word]
    found, broken = ([], []) if named else runs_below(outputs)
    for word in named:
        paths = [Path(path) for path in sorted(glob.glob(word))] if glob.has_magic(word) else [find_run(word, outputs)]
        runs, bad = folders_of(paths)
        if not runs and not bad:
            raise Refused(f"{word}: expected a run folder, or a folder with runs, found none there")
        found, broken = found + runs, broken + bad
    once = {run.folder.path.resolve(): run for run in found}
    return matching(once.values(), [word for word in words if word not in named]), broken


def folders_of(paths: Sequence[Path]) -> tuple[list[RunSummary], list[str]]:
    """Return the runs in these folders: each is a run folder, has run folders, or has folders with run folders."""
    folders: list[Path] = []
    for path in paths:
        if (path / "status.json").is_file():
            folders.append(path)
        else:
            below = [*path.glob("*/status.json"), *path.glob("*/*/status.json")]
            folders += [file.parent for file in below if ".old-" not in file.parent.name]
    return summaries(folders)
