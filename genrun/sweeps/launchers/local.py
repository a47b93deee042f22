"""Processes of this machine, forked from a server that has torch and Lightning loaded."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING

from genrun.errors import Refused
from genrun.sweeps.jobs import Job, cores, how_it_ended, run_job

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from omegaconf import DictConfig

MEMORY = 2.0  # GiB that a job may need, where there is no GPU
PRELOADED = ["genrun.sweeps.launchers.preload"]


class Local:
    """Several jobs at once, each on its GPU or on its share of the cores.

    Args:
        jobs: at once; None: one for each GPU where the jobs use one, otherwise one for each core, as far as memory allows.

    Raises:
        Refused: fewer than one job at once.
    """

    def __init__(self, jobs: int | None = None) -> None:
        if jobs is not None and jobs < 1:
            raise Refused(f"hydra.launcher.jobs: expected at least 1, got {jobs}")
        self.jobs = jobs
        self.running: dict[int, tuple[Job, BaseProcess, str | None]] = {}  # by sentinel: job, process, its GPUs

    def begin(self, folder: Path, jobs: int | None, cfg: DictConfig) -> None:
        gpus = [] if cfg.hardware.accelerator in ("cpu", "mps") else visible_gpus()
        each = len(gpus) if cfg.hardware.devices in ("auto", -1) else int(cfg.hardware.devices)
        self.free = [",".join(gpus[k : k + each]) for k in range(0, len(gpus) - each + 1, each)] if each else []
        threads = cfg.hardware.threads or 1
        room = [len(self.free)] if gpus else [max(1, cores() // (threads * max(1, each))), memory_for()]
        self.at_once = self.jobs or max(1, min([*room, *([jobs] if jobs else [])]))
        self.threads = max(1, cores() // self.at_once)
        self.free *= -(-self.at_once // max(1, len(self.free)))  # more jobs than GPUs were asked for: they share them
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(PRELOADED)

    def start(self, job: Job) -> None:
        gpus = self.free.pop(0) if self.free else None
        process = self.context.Process(target=child, args=(job.on(self.threads), gpus))
        process.start()
        self.running[process.sentinel] = (job, process, gpus)

    def ended(self, timeout: float) -> list[tuple[Job, str]]:
        done = []
        for sentinel in wait(list(self.running), timeout):
            job, process, gpus = self.running.pop(sentinel)
            process.join()
            if gpus is not None:
                self.free.append(gpus)
            done.append((job, how_it_ended(process.exitcode)))
            process.close()
        return done

    def stop(self, job: Job, number: int) -> None:
        for other, process, _ in self.running.values():
            if other.number == job.number:
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    os.kill(process.pid, number)

    def kill(self) -> None:
        for job, *_ in list(self.running.values()):
            self.stop(job, signal.SIGKILL)


def child(job: Job, gpus: str | None) -> None:
    """What a job's process does; it stops when the sweep's process has ended."""
    os.setpgid(0, 0)  # Ctrl-C reaches the sweep, which passes it on once
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus
    threading.Thread(target=follow, args=(multiprocessing.parent_process().sentinel,), daemon=True).start()
    sys.exit(run_job(job))


def follow(sentinel: int) -> None:
    """Ask this process to stop when the one with this sentinel has ended, however it did."""
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES calls the GPUs that jobs may use; read without torch, which this process does without."""
    if (chosen := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() and name.strip() != "-1"]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=False)
    return [str(k) for k, line in enumerate(listed.stdout.splitlines()) if line.startswith("GPU")]


def memory_for() -> int:
    """How many jobs the free memory of this machine has room for; many where that is not known."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 2**31
    free = next((int(line.split()[1]) * 2**10 for line in lines if line.startswith("MemAvailable")), 2**63)
    with contextlib.suppress(OSError, ValueError):  # of a container that has less; a limit of `max` is no number
        limit, used = (int(Path(f"/sys/fs/cgroup/memory.{name}").read_text()) for name in ("max", "current"))
        free = min(free, limit - used)
    return max(1, int(free / 2**30 / MEMORY))
