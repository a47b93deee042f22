"""Run jobs on this machine, in processes forked from a server that has already imported torch and Lightning."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING

from genrun.errors import Refused
from genrun.sweeps.jobs import Job, describe_exit, run_job
from genrun.system.hardware import cores
from genrun.system.signals import held_back

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from omegaconf import DictConfig

GIB_PER_JOB = 2.0  # memory that a job may need, where there is no GPU
PRELOADED = ["genrun.sweeps.launchers.preload"]


class Local:
    """Runs several jobs at the same time on this machine. Each has its own GPU, or its share of the cores.

    Args:
        jobs: how many jobs run at the same time; None: one for each GPU where the jobs use GPUs, otherwise one for each
            core, as far as memory allows.

    Raises:
        Refused: `jobs` is below 1.
    """

    def __init__(self, jobs: int | None = None) -> None:
        if jobs is not None and jobs < 1:
            raise Refused(f"hydra.launcher.jobs: expected at least 1, got {jobs}")
        self.jobs = jobs
        self.running: dict[int, tuple[Job, BaseProcess, str | None]] = {}  # sentinel → job, process, GPUs

    def begin(self, folder: Path, jobs: int | None, cfg: DictConfig) -> None:
        gpus = [] if cfg.hardware.accelerator in ("cpu", "mps") else visible_gpus()
        each = len(gpus) if cfg.hardware.devices in ("auto", -1) else int(cfg.hardware.devices)
        self.free = [",".join(gpus[k : k + each]) for k in range(0, len(gpus) - each + 1, each)] if each else []
        threads = cfg.hardware.threads or 1
        room = [len(self.free)] if gpus else [max(1, cores() // (threads * max(1, each))), jobs_that_fit_memory()]
        self.at_once = self.jobs or max(1, min([*room, *([jobs] if jobs else [])]))
        self.threads = max(1, cores() // self.at_once)
        self.free *= -(-self.at_once // max(1, len(self.free)))  # more jobs than GPUs: they share the GPUs
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(PRELOADED)

    def start(self, job: Job) -> None:
        gpus = self.free.pop(0) if self.free else None
        process = self.context.Process(target=job_process, args=(job.with_threads(self.threads), gpus))
        start_server()
        process.start()
        self.running[process.sentinel] = (job, process, gpus)

    def ended(self, timeout: float) -> list[tuple[Job, str]]:
        done = []
        for sentinel in wait(list(self.running), timeout):
            job, process, gpus = self.running.pop(sentinel)
            process.join()
            if gpus is not None:
                self.free.append(gpus)
            done.append((job, describe_exit(process.exitcode)))
            process.close()
        return done

    def stop(self, job: Job, signum: int) -> None:
        for other, process, _ in self.running.values():
            if other.number == job.number:
                with contextlib.suppress(ProcessLookupError):  # the process has just ended
                    os.kill(process.pid, signum)

    def kill(self) -> None:
        for job, *_ in list(self.running.values()):
            self.stop(job, signal.SIGKILL)


def start_server() -> None:
    """Start the server that forks the jobs, if it does not run yet.

    A signal to the whole process group, as `timeout` sends it, must not end the server: it alone knows how its jobs end.
    A job holds a signal back until it can save.
    """
    resource_tracker.ensure_running()  # it lets signals through, so it starts before they are held back
    with held_back():
        forkserver.ensure_running()


def job_process(job: Job, gpus: str | None) -> None:
    """Run a job in this new process, and stop when the sweep's process ends.

    Args:
        job: the job.
        gpus: value of CUDA_VISIBLE_DEVICES; None leaves it as it is.
    """
    os.setpgid(0, 0)  # Ctrl-C reaches the sweep only, which sends it to each job once
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus
    threading.Thread(target=stop_with, args=(multiprocessing.parent_process().sentinel,), daemon=True).start()
    sys.exit(run_job(job))


def stop_with(sentinel: int) -> None:
    """Wait until the process with this sentinel has ended, for whatever reason, then send SIGTERM to this process."""
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def visible_gpus() -> list[str]:
    """Return the GPUs that jobs may use, as CUDA_VISIBLE_DEVICES names them. Does not import torch, to save time."""
    if (chosen := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() and name.strip() != "-1"]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=False)
    return [str(k) for k, line in enumerate(listed.stdout.splitlines()) if line.startswith("GPU")]


def jobs_that_fit_memory() -> int:
    """Return how many jobs fit into the free memory of this machine; a very large number where it is not known."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 2**31
    free = next((int(line.split()[1]) * 2**10 for line in lines if line.startswith("MemAvailable")), 2**63)
    # a container may have less; the limit `max` is no number and raises ValueError
    with contextlib.suppress(OSError, ValueError):
        limit, used = (int(Path(f"/sys/fs/cgroup/memory.{name}").read_text()) for name in ("max", "current"))
        free = min(free, limit - used)
    return max(1, int(free / 2**30 / GIB_PER_JOB))
