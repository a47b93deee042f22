"""Run jobs in SLURM's queue, or on this machine in the same way, with submitit."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig

from genrun.config.extras import to_install
from genrun.errors import Refused
from genrun.sweeps.jobs import Job, run_job, wait_for_result
from genrun.system.hardware import cores

POLL_INTERVAL = 0.5  # seconds between checks of the jobs; submitit asks SLURM only once a minute


class Submitit:
    """Queues each job by itself. A job is warned before its time limit, saves, and on SLURM asks to be queued again.

    Args:
        cluster: `slurm`, or `local`: processes of this machine without a queue.
        jobs: how many jobs are in the queue at the same time; None: as many as this machine's cores allow.
        cpus, gpus: how many of each a job gets.
        minutes: time limit of a job.
        warning: how many seconds before the limit the job is warned with SIGUSR2.
        slurm: further options of submitit's SlurmExecutor.

    Raises:
        Refused: submitit is not installed, SLURM is not found, or submitit has no such option.
    """

    def __init__(
        self,
        cluster: Literal["local", "slurm"],
        jobs: int | None,
        cpus: int,
        gpus: int,
        minutes: float,
        warning: int,
        slurm: Mapping[str, Any],
    ) -> None:
        for name, value, least in (("jobs", jobs, 1), ("cpus", cpus, 1), ("gpus", gpus, 0), ("warning", warning, 1)):
            if value is not None and value < least:
                raise Refused(f"hydra.launcher.{name}: expected at least {least}, got {value}")
        if not 60 * minutes > warning:
            raise Refused(
                f"hydra.launcher.minutes: expected more than the {warning} s of hydra.launcher.warning, got {minutes}"
            )
        try:
            import submitit
        except ModuleNotFoundError as error:
            raise Refused(f"hydra/launcher=submitit_{cluster} needs {to_install('submitit')}") from error
        self.submitit, self.cluster, self.cpus = submitit, cluster, cpus
        self.at_once = jobs or max(1, cores() // cpus)
        self.options: dict[str, Any] = {"timeout_min": minutes, "gpus_per_node": gpus}
        if cluster == "slurm":
            self.options |= {
                "timeout_min": math.ceil(minutes),
                "cpus_per_task": cpus,
                "name": "genrun",
                "slurm_signal_delay_s": warning,
            }
            self.options |= {f"slurm_{key}": value for key, value in slurm.items() if value is not None}
        else:
            self.options |= {"signal_delay_s": warning}
        self.running: list[tuple[Job, Any]] = []

    def begin(self, folder: Path, jobs: int | None, cfg: DictConfig) -> None:
        try:
            if self.cluster == "local":
                executor = self.submitit.LocalExecutor(folder=folder / "submitit")
            else:
                executor = self.submitit.AutoExecutor(folder=folder / "submitit", cluster=self.cluster)
            executor.update_parameters(**self.options)
        except (NameError, RuntimeError, AssertionError) as error:
            raise Refused(f"hydra/launcher=submitit_{self.cluster}: {' '.join(str(error).split())}") from error
        self.executor = executor

    def start(self, job: Job) -> None:
        job_for_task = job.with_threads(self.cpus, requeues=self.cluster == "slurm")
        self.running.append((job, self.executor.submit(run_job, job_for_task)))

    def ended(self, timeout: float) -> list[tuple[Job, str]]:
        until = time.monotonic() + timeout
        while not (done := [pair for pair in self.running if pair[1].done()]) and time.monotonic() < until:
            time.sleep(POLL_INTERVAL)
        self.running = [pair for pair in self.running if pair not in done]
        for job, task in done:
            if task.paths.result_pickle.exists():
                wait_for_result(job)
        return [
            (job, f"its process ended and gave no reason ({task.state}); see {task.paths.stderr}") for job, task in done
        ]

    def stop(self, job: Job, signum: int) -> None:
        for other, task in self.running:
            if other.number != job.number:
                continue
            if self.cluster == "local":  # task.cancel() would kill the job one second after asking it to stop
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(task.job_id), signal.SIGTERM)
            else:
                task.cancel(check=False)

    def kill(self) -> None:
        for _, task in self.running:
            task.cancel(check=False)
