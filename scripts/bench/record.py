"""bench.json: the machine, when each subject was measured at which commit, and the rows."""

from __future__ import annotations

import datetime
import json
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from genrun.runs.provenance import processor
from genrun.system.files import write_atomic
from scripts.bench.measuring import ROOT
from scripts.bench.rows import Row

FORMAT = 1


@dataclass(frozen=True)
class Measured:
    """How a subject was measured the last time that it ended without an error.

    Args:
        date: of that day, as 2026-01-31.
        commit: of the checkout.
        share: of the sizes of the whole bench, see `Effort`.
    """

    date: str
    commit: str
    share: float


@dataclass
class Record:
    """The content of a bench.json.

    Args:
        machine: processor, cores, torch and threads.
        measured: subject → how it was measured.
        rows: of all subjects.
    """

    machine: dict[str, Any]
    measured: dict[str, Measured] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def add(self, subject: str, rows: Sequence[Row], share: float, *, complete: bool = True) -> None:
        """Put the rows of a subject in the place of those it had.

        Args:
            share: how much of the whole bench was measured.
            complete: whether these are all rows of the subject; if not, those it had stay where there are no new ones.
        """
        again = {row.name for row in rows}
        others = [row for row in self.rows if row.subject != subject]
        left = [row for row in self.rows if row.subject == subject and not complete and row.name not in again]
        self.rows = [*others, *left, *rows]
        if complete:
            self.measured[subject] = Measured(datetime.date.today().isoformat(), commit(), share)

    def only(self, subjects: Collection[str]) -> Record:
        """Return a record of some subjects only."""
        measured = {subject: how for subject, how in self.measured.items() if subject in subjects}
        return Record(self.machine, measured, [row for row in self.rows if row.subject in subjects])

    def check_shares(self, shares: Mapping[str, float]) -> None:
        """Check that these subjects were measured with these shares, where they were measured at all.

        Raises:
            ValueError: one was not.
        """
        for subject, share in shares.items():
            if subject in self.measured and (has := self.measured[subject].share) != share:
                what = f"{subject}: measured with share {share:g}, the file has {has:g}"
                raise ValueError(f"{what}; measure with the same effort, or name another file")


def this_machine() -> dict[str, Any]:
    """Return the facts of this machine on which ratios depend."""
    import torch

    from genrun.system.hardware import cores

    return {
        "processor": processor(),
        "cores": cores(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def commit() -> str:
    """Return the commit of the checkout, with `, changed` if files other than bench.json differ from it; empty if there is no git."""
    try:
        found, changes = (
            subprocess.run(["git", *words], capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()
            for words in (
                ["rev-parse", "--short", "HEAD"],
                ["status", "--porcelain", "--untracked-files=no", "--", ":!bench.json"],
            )
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found + (", changed" if changes else "")


def write(record: Record, path: Path) -> None:
    """Write a record whole or not at all, one row a line so that a difference of two commits can be read."""
    rows = ",\n".join("  " + json.dumps(asdict(row), ensure_ascii=False) for row in record.rows)
    head = {
        "format": FORMAT,
        "machine": record.machine,
        "measured": {subject: asdict(how) for subject, how in record.measured.items()},
    }
    text = json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}") + f',\n "rows": [\n{rows}\n ]\n}}\n'
    write_atomic(path, text)


def read(path: Path) -> Record:
    """Read a record.

    Raises:
        ValueError: the file is no bench.json of this format.
    """
    try:
        content: Mapping[str, Any] = json.loads(path.read_text())
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}, expected {FORMAT}")
        measured = {subject: Measured(**how) for subject, how in content["measured"].items()}
        return Record(content["machine"], measured, [Row(**row) for row in content["rows"]])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected a file that the bench wrote: {error}") from error
