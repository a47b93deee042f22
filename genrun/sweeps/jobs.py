"""A job of a sweep: what is asked of it, what happens in its process, and what became of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from omegaconf import DictConfig

from genrun.config.compose import compose
from genrun.errors import Busy, GenrunError, Interrupted, Pruned, Refused, as_genrun_error, one_line, print_error
from genrun.parts import known_run
from genrun.system.files import write_json
from genrun.system.signals import Signals

if TYPE_CHECKING:
    from genrun.sweeps.searches.study import Watch

ARRIVAL = 10.0  # seconds
LOCK_WAIT = 30.0  # seconds for a process that was told to stop, such as of a killed sweep, to let go of a run


@dataclass(frozen=True)
class Job:
    """One run of a sweep, as it is handed to another process or another machine of the same file system.

    Args:
        number: in the sweep.
        overrides: of its configuration.
        config_dir: the user's own groups.
        cwd: where the sweep was started: relative paths are meant from there.
        folder: of the sweep.
        token: of this start: an ending of an earlier one is not taken for its own.
        watch: lets a search see the epochs, and end the run.
        threads: that it may use; None: torch's own choice.
        requeues: it lets SLURM queue it again when it is warned.
    """

    number: int
    overrides: tuple[str, ...]
    config_dir: str | None
    cwd: str
    folder: str
    token: str
    watch: Watch | None = None
    threads: int | None = None
    requeues: bool = False

    def on(self, threads: int, *, requeues: bool = False) -> Job:
        """The same job on so many threads."""
        return replace(self, threads=threads, requeues=requeues)

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
        """Start `run_job(job)` somewhere."""

    def ended(self, timeout: float) -> list[tuple[Job, str]]:
        """Jobs whose processes have ended since the last call, and how a process ended that may not have said so itself.

        Waits for the first of them, at most `timeout` seconds.
        """

    def stop(self, job: Job, number: int) -> None:
        """Pass a signal on to a job that may have ended meanwhile."""

    def kill(self) -> None:
        """End every job at once."""


def run_job(job: Job) -> int:
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
    overrides, cfg = list(job.overrides), None
    if job.requeues and os.environ.get("SLURM_RESTART_COUNT"):
        overrides.append("run.resume=auto")  # what this job itself has done is not started over
    ending: dict[str, Any] = {"token": job.token, "overrides": overrides, "status": 0, "kind": None, "error": ""}
    signals = Signals(insisting=False)
    try:
        with signals.watching():  # from the beginning: a warning may come while modules are imported
            cfg = compose(overrides, job.config_dir)

            from genrun.run import run

            callbacks = [job.watch.callback()] if job.watch else []
            run(cfg, overrides, wait=LOCK_WAIT, callbacks=callbacks, signals=signals)
    except Exception as caught:
        error = as_genrun_error(caught)
        ending |= {"status": print_error(error), "kind": type(error).__name__, "error": one_line(error)}
        if job.requeues:
            ending["error"] += requeue(error)
    write_json(job.ending, ending | {"run": place_of(cfg)})
    return ending["status"]


def place_of(cfg: DictConfig | None) -> str:
    """Return the folder of the run that a configuration describes; empty where it is not known, or nothing was written."""
    with contextlib.suppress(GenrunError):
        known = known_run(cfg) if cfg is not None else None
        return str(known[1].path) if known is not None and known[1].path.is_dir() else ""
    return ""


def share_cores(threads: int) -> None:
    """Let torch and the libraries behind numpy use so many threads."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(threads)
    threadpool_limits(threads)


def requeue(error: Exception) -> str:
    """Let SLURM queue this job again, and end without an ending, when it has warned that its time is over; why it could not, otherwise."""
    warned = isinstance(error, Interrupted) and error.signum in (signal.SIGUSR1, signal.SIGUSR2)
    if not warned or not (number := os.environ.get("SLURM_JOB_ID")):
        return ""
    asked = subprocess.run(["scontrol", "requeue", number], capture_output=True, text=True, check=False)
    if asked.returncode:
        return f" (it cannot be queued again: {' '.join(asked.stderr.split())})"
    time.sleep(3600)  # until SLURM ends this process; a result would be taken for the job's last
    return ""


def outcome_of(job: Job, how: str, run: str, *, stopped: bool) -> Outcome:
    """What became of a job whose process has ended.

    Args:
        how: its process ended, for one that could not say so.
        run: its folder, for the same.
        stopped: it was asked to stop.
    """
    kinds = {Busy: "skipped", Pruned: "pruned", Interrupted: "interrupted", Refused: "cannot run"}
    states = {kind.__name__: state for kind, state in kinds.items()}
    try:
        ending = json.loads(job.ending.read_text())
    except (OSError, ValueError):
        ending = {}
    if ending.get("token") != job.token:
        return Outcome("interrupted" if stopped else "failed", how, run if Path(run).is_dir() else "")
    if not ending["status"]:
        return Outcome("done", run=ending["run"])
    return Outcome(states.get(ending["kind"], "failed"), ending["error"], ending["run"])


def arrived(job: Job) -> None:
    """Wait for the ending that another machine has written: a shared file system may show it late."""
    until = time.monotonic() + ARRIVAL
    while not job.ending.is_file() and time.monotonic() < until:
        time.sleep(0.2)


def how_it_ended(status: int | None) -> str:
    """Of a process that has not said so itself, by its exit status, negative for a signal."""
    if status is not None and status < 0:
        cause = "; out of memory?" if -status == signal.SIGKILL else ""
        return f"killed by {signal.Signals(-status).name}{cause}"
    return f"its process ended with status {status} and without a word"


def cores() -> int:
    """The cores that this process may use: of its machine, or of its container where that has fewer."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(here, int(quota) // int(period)))  # a quota of `max` is no number
    return here
