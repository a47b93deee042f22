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
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from scripts.bench import comparing, record, table
from scripts.bench.comparing import Comparison
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
    """Measure or compare; return the exit status.

    It is 1 if a ratio or a goal is worse, if nothing could be compared or if a subject failed, and 2 if an argument is wrong.
    """
    parser = argparse.ArgumentParser(prog="python -m scripts.bench", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=SUBJECTS, help=f"of {', '.join(SUBJECTS)}")
    less = parser.add_mutually_exclusive_group()
    less.add_argument("--quick", action="store_true", help="measure the important rows, in two minutes")
    less.add_argument(
        "--tiny", action="store_true", help="see that every row can be measured; the numbers mean nothing"
    )
    parser.add_argument("--pairs", type=int, help="measurements of both sides in turn, at least 1")
    parser.add_argument("--run", help="folder of a trained run of ReGene, for the time of its accepted generations")
    parser.add_argument("--json", type=Path, help="file to write; it keeps the rows of subjects that are not measured")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="say what is worse than in this file")
    parser.add_argument(
        "--measured", type=Path, metavar="FILE", help="with --compare: take this file's rows, do not measure"
    )
    asked = parser.parse_args()
    if asked.measured is not None and asked.compare is None:
        parser.error("--measured needs --compare")
    if asked.pairs is not None and asked.pairs < 1:
        parser.error(f"--pairs must be at least 1, got {asked.pairs}")
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    comparison, subjects = None, subjects_of(asked)
    try:
        before = None if asked.compare is None else record.read(asked.compare)
        if asked.measured is not None:
            now, failed = record.read(asked.measured), False
        else:
            check_data()
            if before is not None:
                before.check_shares(dict.fromkeys(subjects, effort(asked).share))  # before an hour of measuring
            now, failed = measure(asked)
        if before is not None:
            comparison = comparing.compare(before.only(subjects), now.only(subjects))
    except (OSError, ValueError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    table.show(now, console)
    return int(failed) if comparison is None else int(say(comparison, asked.compare, console) or failed)


def say(comparison: Comparison, file: Path, console: Console) -> bool:
    """Print a comparison with a file; return whether something is worse or nothing could be compared."""
    for line in comparison.lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if not comparison.compared:
        print("bench: no ratio or goal is in both files", file=sys.stderr)
        return True
    if not comparison.worse:
        line = f"{comparison.compared} ratios and goals compared: no ratio is more than {comparing.WORSE:.0%} worse than in {file}"
        console.print(f"{line}, every goal met there is met", highlight=False, markup=False, soft_wrap=True)
    return comparison.worse


def subjects_of(asked: argparse.Namespace) -> Sequence[str]:
    """Return the subjects that are to be measured or compared."""
    return asked.only or (IMPORTANT if asked.quick else SUBJECTS)


def check_data() -> None:
    """Check that MNIST is there.

    Raises:
        ValueError: it is not.
    """
    if not (MNIST / "MNIST" / "raw").is_dir():
        raise ValueError(f"MNIST is not in {MNIST}; set GENRUN_DATA to the folder that holds MNIST/raw")


def measure(asked: argparse.Namespace) -> tuple[Record, bool]:
    """Measure what is asked; return the record, and whether a subject failed. Rows of the file that are not measured again stay in it.

    Several subjects are measured in processes of their own: one that fails, or fills the memory, leaves the others alone.
    """
    subjects, share = subjects_of(asked), effort(asked).share
    here = record.this_machine()
    found, replaces = Record(here), False
    if asked.json is not None and asked.json.exists():
        earlier = record.read(asked.json)
        replaces = earlier.machine != here
        if earlier.machine == here:
            earlier.check_shares(dict.fromkeys(subjects, share))
            found = earlier
        elif asked.only:
            raise ValueError(f"{asked.json} is of another machine ({earlier.machine}): name another file")
    failed = False
    if len(subjects) == 1:
        rows, failed = rows_of(subjects[0], effort(asked))
        found.add(subjects[0], rows, share, complete=not failed)
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
                    found.add(subject, record.read(part).rows, share, complete=not status)
                    if not replaces:  # else a kill would leave few rows in the place of many
                        keep(found, asked.json)  # a kill then loses one subject, not an hour
    keep(found, asked.json)
    return found, failed


def keep(found: Record, file: Path | None) -> None:
    """Write the record to a file, if there is one and anything was measured."""
    if file is not None and found.rows:
        record.write(found, file)


def effort(asked: argparse.Namespace) -> Effort:
    """Return how much is measured."""
    chosen = TINY if asked.tiny else QUICK if asked.quick else WHOLE
    return dataclasses.replace(chosen, run=asked.run, pairs=asked.pairs or chosen.pairs)


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
            rows.append(dataclasses.replace(row, subject=subject))
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
