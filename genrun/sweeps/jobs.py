"""A job of a sweep: its description, what its process does, and its outcome."""

from __future__ import annotations

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
from genrun.errors import Busy, Interrupted, Pruned, Refused, as_genrun_error, one_line, print_error
from genrun.system.files import write_json
from genrun.system.signals import Signals
from genrun.system.streams import open_streams
from genrun.system.threads import limit_threads

if TYPE_CHECKING:
    from genrun.sweeps.searches.study import TrialReporter

RESULT_WAIT = 10.0  # seconds to wait for a result file that another machine wrote
CANNOT_RUN = "cannot run"  # the state of a job that was refused
LOCK_WAIT = 30.0  # seconds to wait until a process that is stopping, such as one of a killed sweep, releases a run


@dataclass(frozen=True)
class Job:
    """One run of a sweep, as it is sent to another process, or to another machine with the same file system.

    Args:
        number: the job's number in the sweep.
        overrides: of its configuration.
        config_dir: the folder of the user's own configuration groups.
        cwd: the folder where the sweep was started. Relative paths start there.
        folder: of the sweep.
        token: identifies this start of the job, so that a result file of an earlier start is not used.
        reporter: reports the epochs to a search, which may end the run; None for a grid.
        threads: number of threads that the job may use; None: `genrun.system.threads` chooses.
        requeues: whether the job asks SLURM to queue it again when SLURM warns it.
    """

    number: int
    overrides: tuple[str, ...]
    config_dir: str | None
    cwd: str
    folder: str
    token: str
    reporter: TrialReporter | None = None
    threads: int | None = None
    requeues: bool = False

    def with_threads(self, threads: int, *, requeues: bool = False) -> Job:
        """Return a copy of the job that uses so many threads."""
        return replace(self, threads=threads, requeues=requeues)

    @property
    def result_file(self) -> Path:
        """The file in which the job's process writes how the job ended."""
        return Path(self.cwd, self.folder, "jobs", f"{self.number}.json")

    @property
    def configuration(self) -> Path:
        """The folder of the YAML files that the sweep was started with."""
        return Path(self.cwd, self.folder, "configuration")

    @property
    def log(self) -> Path:
        """The file that holds what the job's process prints."""
        return Path(self.cwd, self.folder, "jobs", f"{self.number}.log")


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Args:
        state: `done`, `failed`, `interrupted`, `pruned`, `skipped` (another process is at its run) or `cannot run`.
        error: the error in one line.
        run: the run folder, where there is one.
    """

    state: str
    error: str = ""
    run: str = ""

    @property
    def description(self) -> str:
        """The state, followed by the error where there is one."""
        return f"{self.state}: {self.error}" if self.error else self.state

    def after(self, name: str, refused: dict[str, str]) -> str:
        """Return the description for a list of jobs, in which the refusal of several jobs stands once.

        Args:
            name: of the job.
            refused: error → name of the first job that was refused for it; this job is added.
        """
        if self.state != CANNOT_RUN or (first := refused.setdefault(self.error, name)) == name:
            return self.description
        return f"{self.state}, as {first}"


class Launcher(Protocol):
    """Starts each job in its own process."""

    at_once: int  # how many jobs may run at the same time, known after `begin`

    def begin(self, folder: Path, jobs: int | None, cfg: DictConfig) -> None:
        """Prepare to start jobs.

        Args:
            folder: of the sweep.
            jobs: the number of jobs, where it is known.
            cfg: the configuration of the first job.
        """

    def start(self, job: Job) -> None:
        """Start `run_job(job)` in a process of this machine or of another one."""

    def ended(self, timeout: float) -> list[tuple[Job, str]]:
        """Return the jobs whose processes have ended since the last call.

        Waits at most `timeout` seconds for the first of them.

        Returns:
            Each job, and how its process ended, for a process that wrote no result file.
        """

    def stop(self, job: Job, signum: int) -> None:
        """Send a signal to a job. The job may have ended already."""

    def kill(self) -> None:
        """End every job at once."""


def run_job(job: Job) -> int:
    """Compose and run a job in this process. Its output goes to `job.log`, and how it ended to `job.result_file`.

    Returns:
        The exit status.
    """
    os.chdir(job.cwd)
    redirect_output(job.log)
    if job.threads is not None:  # a job that asks for more threads with hardware.threads gets them
        os.environ["OMP_NUM_THREADS"] = str(job.threads)  # its share, however busy the other jobs are
        limit_threads(job.threads)
    overrides, folders = list(job.overrides), []
    if job.requeues and os.environ.get("SLURM_RESTART_COUNT"):
        overrides.append("run.resume=auto")  # keeps what this job did before SLURM queued it again
    result: dict[str, Any] = {"token": job.token, "overrides": overrides, "status": 0, "kind": None, "error": ""}
    signals = Signals(insisting=False)
    try:
        with signals.watching():  # from the start: a warning may come while modules are imported
            cfg = compose(overrides, job.config_dir, kept=job.configuration)

            from genrun.run import run

            callbacks = [job.reporter.callback()] if job.reporter else []
            run(cfg, overrides, wait=LOCK_WAIT, callbacks=callbacks, signals=signals, on_folder=folders.append)
    except (Exception, Interrupted) as caught:
        error = as_genrun_error(caught)
        result |= {"status": print_error(error), "kind": type(error).__name__, "error": one_line(error)}
        if job.requeues:
            result["error"] += requeue(error)
    existing = [str(folder.path) for folder in folders if folder.path.is_dir()]
    write_json(job.result_file, result | {"run": existing[0] if existing else ""})
    return result["status"]


def redirect_output(log: Path) -> None:
    """Send the stdout and stderr of this process to a file, which takes every character."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    open_streams()


def requeue(error: BaseException) -> str:
    """Ask SLURM to queue this job again, if SLURM has warned it that its time is nearly over.

    When SLURM accepts, this waits to be ended by SLURM, so that no result file is written.

    Returns:
        The reason when SLURM refuses, else an empty text.
    """
    warned = isinstance(error, Interrupted) and error.signum in (signal.SIGUSR1, signal.SIGUSR2)
    if not warned or not (number := os.environ.get("SLURM_JOB_ID")):
        return ""
    asked = subprocess.run(["scontrol", "requeue", number], capture_output=True, text=True, check=False)
    if asked.returncode:
        return f" (it cannot be queued again: {' '.join(asked.stderr.split())})"
    time.sleep(3600)  # until SLURM ends this process: a result file would count as the job's end
    return ""


def outcome_of(job: Job, exit_description: str, run: str, *, stopped: bool) -> Outcome:
    """Return the outcome of a job whose process has ended.

    Args:
        exit_description: how the process ended, for one that wrote no result file.
        run: its run folder, for the same case.
        stopped: whether the job was asked to stop.
    """
    kinds = {Busy: "skipped", Pruned: "pruned", Interrupted: "interrupted", Refused: CANNOT_RUN}
    states = {kind.__name__: state for kind, state in kinds.items()}
    try:
        result = json.loads(job.result_file.read_text())
    except (OSError, ValueError):
        result = {}
    if result.get("token") != job.token:
        return Outcome("interrupted" if stopped else "failed", exit_description, run if Path(run).is_dir() else "")
    if not result["status"]:
        return Outcome("done", run=result["run"])
    return Outcome(states.get(result["kind"], "failed"), result["error"], result["run"])


def wait_for_result(job: Job) -> None:
    """Wait for the result file that another machine wrote: a shared file system may show it late."""
    until = time.monotonic() + RESULT_WAIT
    while not job.result_file.is_file() and time.monotonic() < until:
        time.sleep(0.2)


def describe_exit(status: int | None) -> str:
    """Describe in words how a process ended.

    Args:
        status: its exit status; minus the signal's number where a signal ended it.
    """
    if status is not None and status < 0:
        cause = "; out of memory?" if -status == signal.SIGKILL else ""
        return f"killed by {signal.Signals(-status).name}{cause}"
    return f"its process ended with status {status} and gave no reason"
