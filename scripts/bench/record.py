"""bench.json: the machine, when each subject was measured at which commit, and the rows."""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from scripts.bench.measuring import ROOT
from scripts.bench.rows import Row

FORMAT = 1
CPUS = Path("/proc/cpuinfo")


@dataclass
class Record:
    """The content of a bench.json.

    Args:
        machine: processor, cores, torch and threads.
        measured: subject → date and commit.
        rows: of all subjects.
    """

    machine: dict[str, Any]
    measured: dict[str, dict[str, str]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def add(self, subject: str, rows: Sequence[Row]) -> None:
        """Put the rows of a subject in the place of those it had."""
        kept = [row for row in self.rows if row.section != subject]
        self.rows = [*kept, *rows]
        self.measured[subject] = {"date": datetime.date.today().isoformat(), "commit": commit()}


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


def processor() -> str:
    """Return the name of the processor."""
    if CPUS.is_file():
        for line in CPUS.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def commit() -> str:
    """Return the commit of the checkout, with `, changed` if files differ from it; empty if there is no git."""
    try:
        found, changes = (
            subprocess.run(["git", *words], capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()
            for words in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found + (", changed" if changes else "")


def write(record: Record, path: Path) -> None:
    """Write a record whole or not at all, one row a line so that a difference of two commits can be read."""
    rows = ",\n".join("  " + json.dumps(asdict(row), ensure_ascii=False) for row in record.rows)
    head = {"format": FORMAT, "machine": record.machine, "measured": record.measured}
    text = json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}") + f',\n "rows": [\n{rows}\n ]\n}}\n'
    scratch = path.with_suffix(".part")
    scratch.write_text(text)
    scratch.replace(path)


def read(path: Path) -> Record:
    """Read a record.

    Raises:
        ValueError: the file is no bench.json of this format.
    """
    try:
        content: Mapping[str, Any] = json.loads(path.read_text())
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}, expected {FORMAT}")
        return Record(content["machine"], content["measured"], [Row(**row) for row in content["rows"]])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected a file that the bench wrote: {error}") from error
