"""The command line of the bench: measure all subjects or some, print one table, write bench.json, compare with one."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import logging
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

from rich.console import Console

from scripts.bench import comparing, record, table
from scripts.bench.effort import QUICK, TINY, WHOLE, Effort
from scripts.bench.measuring import MNIST, ROOT, Failed
from scripts.bench.record import Record
from scripts.bench.rows import Row

SUBJECTS = (
    *("training", "sampling", "peers", "limit", "judge", "mixtures", "nota", "regene"),
    *("memory", "commands", "sweeps", "leaderboard", "beside", "scaling"),
)
IMPORTANT = ("training", "sampling", "limit", "judge", "memory", "commands")  # have rows that `--quick` measures
WIDTH = 160


def main() -> int:
    """Measure or compare; return the exit status: 1 if a ratio became worse or a subject failed, 2 if an argument is wrong."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=SUBJECTS, help=f"of {', '.join(SUBJECTS)}")
    parser.add_argument("--quick", action="store_true", help="measure the important rows, in two minutes")
    parser.add_argument(
        "--tiny", action="store_true", help="see that every row can be measured; the numbers mean nothing"
    )
    parser.add_argument("--pairs", type=int, help="measurements of both sides in turn")
    parser.add_argument("--run", help="folder of a trained run of ReGene, for the time of its accepted generations")
    parser.add_argument("--json", type=Path, help="file to write; with --only it keeps the rows of the other subjects")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="say which ratios are worse than in this file")
    parser.add_argument(
        "--measured", type=Path, metavar="FILE", help="with --compare: take this file's rows, do not measure"
    )
    asked = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    try:
        before = None if asked.compare is None else record.read(asked.compare)
        if asked.measured is not None:
            now, failed = record.read(asked.measured), False
        else:
            check_data()
            now, failed = measure(asked)
    except (OSError, ValueError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    table.show(now, console)
    if before is None:
        return int(failed)
    lines, worse = comparing.compare(asked_for(before, now, asked), now)
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if not worse:
        console.print(f"no ratio is more than {comparing.WORSE:.0%} worse than in {asked.compare}", highlight=False)
    return int(worse or failed)


def asked_for(before: Record, now: Record, asked: argparse.Namespace) -> Record:
    """Return a record with only those rows that were to be measured now."""
    names = {(row.section, row.name) for row in now.rows}
    kept = [
        row
        for row in before.rows
        if (not asked.only or row.section in asked.only) and (not asked.quick or (row.section, row.name) in names)
    ]
    return dataclasses.replace(before, rows=kept)


def check_data() -> None:
    """Check that MNIST is there.

    Raises:
        ValueError: it is not.
    """
    if not (MNIST / "MNIST" / "raw").is_dir():
        raise ValueError(f"MNIST is not in {MNIST}; set GENRUN_DATA to the folder that holds MNIST/raw")


def measure(asked: argparse.Namespace) -> tuple[Record, bool]:
    """Measure what is asked; return the record, and whether a subject failed.

    Several subjects are measured in processes of their own: one that fails, or fills the memory, leaves the others alone.
    """
    subjects = asked.only or (IMPORTANT if asked.quick else SUBJECTS)
    here = record.this_machine()
    found = Record(here)
    if asked.json is not None and asked.only and asked.json.exists():
        found = record.read(asked.json)
        if found.machine != here:
            raise ValueError(f"{asked.json} is of another machine ({found.machine}): name another file")
    failed = False
    if len(subjects) == 1:
        rows, failed = rows_of(subjects[0], effort(asked))
        found.add(subjects[0], rows)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            for subject in subjects:
                part = Path(scratch) / f"{subject}.json"
                words = [
                    sys.executable,
                    "-m",
                    "scripts.bench",
                    "--only",
                    subject,
                    "--json",
                    str(part),
                    *passed_on(asked),
                ]
                status = subprocess.run(words, cwd=ROOT, stdout=subprocess.DEVNULL).returncode
                if status:
                    failed = True
                    print(f"bench: {subject} failed with status {status}; its error stands above", file=sys.stderr)
                if part.exists():
                    found.add(subject, record.read(part).rows)
    if asked.json is not None and found.rows:
        record.write(found, asked.json)
    return found, failed


def effort(asked: argparse.Namespace) -> Effort:
    """Return how much is measured."""
    chosen = TINY if asked.tiny else QUICK if asked.quick else WHOLE
    return dataclasses.replace(chosen, important=asked.quick, run=asked.run, pairs=asked.pairs or chosen.pairs)


def passed_on(asked: argparse.Namespace) -> list[str]:
    """Return the words that the process of a subject gets."""
    flags = [f"--{name}" for name in ("quick", "tiny") if getattr(asked, name)]
    values = [
        word for name in ("pairs", "run") if (value := getattr(asked, name)) for word in (f"--{name}", str(value))
    ]
    return flags + values


def rows_of(subject: str, chosen: Effort) -> tuple[list[Row], bool]:
    """Measure one subject in this process; return its rows, up to an error if there is one, and whether there was one."""
    import torch

    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)  # for both sides, as in a run
    torch.utils.deterministic.fill_uninitialized_memory = False
    rows, started = [], time.perf_counter()
    try:
        for row in importlib.import_module(f"scripts.bench.subjects.{subject}").rows(chosen):
            rows.append(dataclasses.replace(row, section=subject))
            ratio = "" if row.ratio is None else f", ratio {row.ratio:.2f}"
            print(f"{subject}: {row.name}: {table.number(row.ours, row.unit)}{ratio}", file=sys.stderr, flush=True)
    except Failed as error:
        print(f"bench: {subject}: {error}", file=sys.stderr)
        return rows, True
    except Exception:
        traceback.print_exc()
        return rows, True
    print(f"{subject}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return rows, False


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
