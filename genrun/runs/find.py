"""Find runs below a folder by what a user says of them. This needs no torch."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from genrun.errors import Refused, nearest
from genrun.runs.summary import NAMED, STATES, RunSummary, is_current, runs_below, summaries

DISTANCE = "Fréchet distance (observer)"  # decides which run is the best
EARLIER_DISTANCE = "Fréchet distance (classifier)"  # the same in tables before version 3; the two cannot be compared


def matching(runs: Iterable[RunSummary], conditions: Sequence[str]) -> list[RunSummary]:
    """Return the runs that fulfil all conditions.

    Args:
        conditions: `option=a,b` (one of these values), `option!=a,b` (none of them), or a text that is in the name, the model, the data or
            the command.

    Raises:
        Refused: no run has such an option, or there is no such state.
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
        if key == "state" and (wrong := [text for text in texts if text not in STATES]):
            raise Refused(f"{condition}: expected {', '.join(STATES)}, got {wrong[0]}{nearest(wrong[0], STATES)}")
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
    if not asked:
        raise Refused("expected a run, got an empty text; `genrun list` shows all")
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
    exact = [run for run in named if run.name == asked] or [run for run in named if run.id == asked]
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
    """Return the finished run with the smallest Fréchet distance: that of the observer, or of an earlier judge if no run has another.

    Raises:
        Refused: no run fulfils the conditions, or those that do cannot be compared.
    """
    done = [run for run in matching(runs, best_conditions(asked)) if run.state == "done"]
    if not done:
        raise Refused(f"{asked}: no finished run fulfils this; `genrun list` shows all")
    earlier = [run for run in done if of_earlier_judge(run)]
    left = earlier + [run for run in done if has_number(run, DISTANCE)]
    if not left:
        raise Refused(f"{asked}: no run that fulfils this has a {DISTANCE}; `genrun evaluate RUN` judges one")
    if len(data := sorted({run.data for run in left})) > 1:
        raise Refused(f"{asked}: distances on different data cannot be compared; write best:data=… ({', '.join(data)})")
    if 0 < len(earlier) < len(left):
        raise Refused(
            f"{asked}: {len(earlier)} of {len(left)} runs were judged by an earlier version, whose distances cannot be compared with new "
            f"ones; judge them again, such as: genrun evaluate {earlier[0].folder.path}"
        )
    metric = distance_of(left)
    return min(left, key=lambda run: run.value(metric))


def has_number(run: RunSummary, metric: str) -> bool:
    return isinstance(run.value(metric), int | float)


def of_earlier_judge(run: RunSummary) -> bool:
    """Return whether the distance of a run was measured only by a judge that is older than the observer."""
    return has_number(run, EARLIER_DISTANCE) and not has_number(run, DISTANCE)


def distance_of(runs: Iterable[RunSummary]) -> str:
    """Return the Fréchet distance by which runs are compared: `DISTANCE`, or `EARLIER_DISTANCE` if runs have that one only."""
    runs = list(runs)
    earlier = any(map(of_earlier_judge, runs)) and not any(has_number(run, DISTANCE) for run in runs)
    return EARLIER_DISTANCE if earlier else DISTANCE


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
        runs, bad = folders_of(paths_of(word, outputs))
        if not runs and not bad:
            raise Refused(f"{word}: expected a run folder, or a folder with runs, found none there")
        found, broken = found + runs, broken + bad
    once = {run.folder.path.resolve(): run for run in found}
    return matching(once.values(), [word for word in words if word not in named]), broken


def paths_of(word: str, outputs: Path) -> list[Path]:
    """Return the paths that a word stands for: those that match a pattern, without runs that were moved aside, or see `find_run`."""
    if not glob.has_magic(word) or os.path.lexists(word):
        return [find_run(word, outputs)]
    found = map(Path, sorted(glob.glob(word)))
    return [path for path in found if is_current(path) or not (path / "status.json").is_file()]


def folders_of(paths: Sequence[Path]) -> tuple[list[RunSummary], list[str]]:
    """Return the runs in these folders: each is a run folder, has run folders, or has folders with run folders."""
    folders: list[Path] = []
    for path in paths:
        if (path / "status.json").is_file():
            folders.append(path)
        else:
            below = [*path.glob("*/status.json"), *path.glob("*/*/status.json")]
            folders += [file.parent for file in below if is_current(file.parent)]
    return summaries(folders)
