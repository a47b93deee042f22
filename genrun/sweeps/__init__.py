"""`genrun -m`: every combination, each in a process of its own, and one table at the end."""

from __future__ import annotations

import signal
import subprocess
import sys

from omegaconf import DictConfig
from rich.table import Table

from genrun.cli import compose, explain
from genrun.errors import Failed, GenrunError, Refused
from genrun.run import read_facts, screen, state_of
from genrun.runs import RunFolder


def expand(overrides: list[str]) -> list[list[str]]:
    """The jobs of a sweep: one list of overrides for each combination of `a=1,2` and `b=range(3)`.

    Raises:
        Refused: an override cannot be read.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
        return BasicSweeper.split_arguments(parsed, max_batch_size=None)[0]
    except Exception as error:
        raise explain(error, overrides) from error


def sweep(overrides: list[str], config_dir: str | None) -> int:
    """Run, or with run.dry_run list, every job; a job that fails does not stop the others.

    Returns:
        0 when all jobs are done, 1 when one failed, 130 or 143 when a signal ended a job.
    """
    dry = "run.dry_run=true" in overrides
    jobs = expand(overrides)
    console, table = screen(), Table("job", "run", "state", box=None, pad_edge=False)
    worst = 0
    fixed = set.intersection(*map(set, jobs)) if len(jobs) > 1 else set()
    for job in jobs:
        described = " ".join(text for text in job if text not in fixed)
        try:
            cfg = compose(job, config_dir)
            if not dry:
                console.print(f"\n[bold]{described}[/bold]")
                status = run_job(job, config_dir)
                if status in (130, 143):
                    console.print(table)
                    return status
                if status == Refused.status:
                    raise Refused("the line above says why")
            folder = locate(cfg)
            state = folder.status()["state"] if not dry else state_of(cfg, folder)
            table.add_row(described, str(folder.path), reason(folder, state))
            worst = max(worst, 0 if dry or state == "done" else Failed.status)
        except GenrunError as error:
            table.add_row(described, "", f"cannot run: {error}")
            worst = Failed.status
    console.print(table)
    return worst


def run_job(job: list[str], config_dir: str | None) -> int:
    """One job in a process of its own: the exit status, 128 + n when a signal n ended it."""
    search = ["--config-dir", config_dir] if config_dir else []
    # a session of its own: a signal reaches it once, from here, and it has the time to save
    child = subprocess.Popen([sys.executable, "-m", "genrun", *job, *search], start_new_session=True)
    before = {
        number: signal.signal(number, lambda n, _: child.send_signal(n)) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        status = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return status if status >= 0 else 128 - status


def locate(cfg: DictConfig) -> RunFolder:
    read_facts(cfg)
    return RunFolder.of(cfg)


def reason(folder: RunFolder, state: str) -> str:
    error = folder.status().get("error")
    return f"{state}: {error}" if state == "failed" else state
