"""A job of a sweep: what is asked of it, what happens in its process, and what became of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from genrun.cli import compose, one_line, report
from genrun.errors import Busy, Failed, Interrupted, Pruned, Refused
from genrun.runs import write_json
from genrun.signals import Signals

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from genrun.sweeps.search import Watch

PATIENCE = 30.0  # seconds for a process that was told to stop, such as of a killed sweep, to let go of a run


@dataclass(frozen=True)
class Job:
    """One run of a sweep, as it is handed to another process or another machine of the same file system.

    Args:
        number: in the sweep.
        overrides: of its configuration.
        config_dir: the user's own groups.
        cwd: where the sweep was started: relative paths are meant from there.
        folder: of the sweep.
        watch: lets a search see the epochs, and end the run.
        threads: that it may use; None: torch's own choice.
    """

    number: int
    overrides: tuple[str, ...]
    config_dir: str | None
    cwd: str
    folder: str
    watch: Watch | None = None
    threads: int | None = None

    def on(self, threads: int) -> Job:
        """The same job on so many threads."""
        return replace(self, threads=threads)

    @property
    def ending(self) -> Path:
        """The file in which its process says how it ended."""
        return Path(self.cwd, self.folder, "jobs", f"{self.number}.json")

    @property
    def log(self) -> Path:
        """What its process printed."""
        return Path(self.cwd, self.folder, "jobs", f"{self.number}.log")


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Args:
        state: `done`, `failed`, `interrupted`, `pruned`, `skipped` (another process is at it) or `cannot run`.
        error: in one line.
        run: its folder where it has one.
    """

    state: str
    error: str = ""
    run: str = ""

    @property
    def words(self) -> str:
        return f"{self.state}: {self.error}" if self.error else self.state


class Launcher(Protocol):
    """An engine: starts each job in a process of its own."""

    at_once: int  # jobs that may run at the same time, known after `begin`

    def begin(self, folder: Path, jobs: int | None, cfg: DictConfig) -> None:
        """Make ready: the sweep's folder, how many jobs there are where that is known, and the configuration of the first."""

    def start(self, job: Job) -> None:
        """Start `work(job)` somewhere."""

    def ended(self, timeout: float) -> list[tuple[Job, str]]:
        """Jobs whose processes have ended since the last call, and how a process ended that may not have said so itself.

        Waits for the first of them, at most `timeout` seconds.
        """

    def stop(self, number: int) -> None:
        """Pass a signal on to every job."""

    def kill(self) -> None:
        """End every job at once."""


def work(job: Job) -> int:
    """Compose and do a run in this process, which prints into `job.log`, and leave in `job.ending` what became of it.

    Returns:
        The exit status.
    """
    os.chdir(job.cwd)
    log = os.open(job.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if job.threads is not None:  # a job that asks for more by hardware.threads gets them
        share_cores(job.threads)
    ending: dict[str, Any] = {"overrides": list(job.overrides), "status": 0, "kind": None, "error": ""}
    try:
        with Signals().watching():  # from the beginning: a warning may come while modules are imported
            cfg = compose(list(job.overrides), job.config_dir)

            from genrun.run import run

            run(cfg, list(job.overrides), wait=PATIENCE, callbacks=[job.watch.callback()] if job.watch else [])
    except Exception as caught:
        error = one_line(caught)
        ending |= {"status": report(error), "kind": type(error).__name__, "error": " ".join(str(error).split())}
        requeue(error)
    write_json(job.ending, ending)
    return ending["status"]


def share_cores(threads: int) -> None:
    """Let torch and the libraries behind numpy use so many threads."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(threads)
    threadpool_limits(threads)


def requeue(error: Exception) -> None:
    """Let SLURM queue this job again, and end without an ending, when it has warned that its time is over."""
    warned = isinstance(error, Interrupted) and error.signum in (signal.SIGUSR1, signal.SIGUSR2)
    if warned and (number := os.environ.get("SLURM_JOB_ID")):
        subprocess.run(["scontrol", "requeue", number], check=True)
        time.sleep(3600)  # until SLURM ends this process; a result would be taken for the job's last


def outcome_of(job: Job, how: str, run: str) -> Outcome:
    """What became of a job whose process has ended.

    Args:
        how: its process ended, for one that could not say so.
        run: its folder.
    """
    kinds = {Busy: "skipped", Pruned: "pruned", Interrupted: "interrupted", Refused: "cannot run"}
    states = {kind.__name__: state for kind, state in kinds.items()}
    try:
        ending = json.loads(job.ending.read_text())
    except (OSError, ValueError):
        return Outcome("failed", how, run)
    if not ending["status"]:
        return Outcome("done", run=run)
    return Outcome(states.get(ending["kind"], Failed.__name__.lower()), ending["error"], run)


def how_it_ended(status: int | None) -> str:
    """Of a process that has not said so itself, by its exit status, negative for a signal."""
    if status is not None and status < 0:
        cause = "; out of memory?" if -status == signal.SIGKILL else ""
        return f"killed by {signal.Signals(-status).name}{cause}"
    return f"its process ended with status {status} and without a word"


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
