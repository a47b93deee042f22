"""Jobs on a Ray cluster, each in a process that its worker starts for it."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from genrun.errors import Refused
from genrun.sweeps.jobs import Job, arrived, how_it_ended, run_job

MAIN = "from genrun.sweeps.launchers.ray import apart; apart()"


class Ray:
    """Jobs as tasks of Ray, on nodes that share this file system and have genrun installed.

    Args:
        address: of a running cluster; None: one of its own on this machine.
        jobs: at once; None: as many as there are cores or GPUs for.
        cpus, gpus: of each job.

    Raises:
        Refused: ray is not installed, or the cluster cannot be reached or has not what a job needs.
    """

    def __init__(self, address: str | None, jobs: int | None, cpus: int, gpus: float) -> None:
        for name, value, least in (("jobs", jobs, 1), ("cpus", cpus, 1), ("gpus", gpus, 0)):
            if value is not None and value < least:
                raise Refused(f"hydra.launcher.{name}: expected at least {least}, got {value}")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ModuleNotFoundError as error:
            raise Refused("hydra/launcher=ray needs an extra: pip install 'genrun[ray]'") from error
        self.ray, self.address, self.jobs, self.cpus, self.gpus = ray, address, jobs, cpus, gpus
        self.running: dict[Any, Job] = {}

    def begin(self, folder: Path, jobs: int | None, cfg: DictConfig) -> None:
        own = {} if self.address else {"include_dashboard": False}
        if self.address and ":" in self.address:
            self._knock(self.address)
        try:
            self.ray.init(address=self.address or "local", log_to_driver=False, logging_level="error", **own)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise Refused(f"hydra.launcher.address={self.address}: {str(error).splitlines()[0]}") from error
        there = self.ray.cluster_resources()
        room = [int(there.get("CPU", 0) // self.cpus)] + ([int(there.get("GPU", 0) // self.gpus)] if self.gpus else [])
        if not min(room):
            raise Refused(
                f"hydra.launcher: a job needs {self.cpus} CPUs and {self.gpus} GPUs, "
                f"the cluster has {there.get('CPU', 0):.0f} and {there.get('GPU', 0):.0f}"
            )
        self.at_once = self.jobs or min(room)
        self.task = self.ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=0)(run_apart)

    def _knock(self, address: str) -> None:
        """Know in seconds that nobody is there: Ray itself tries for minutes."""
        host, _, port = address.removeprefix("ray://").rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except (OSError, ValueError) as error:
            raise Refused(
                f"hydra.launcher.address={address}: expected the host:port of a Ray cluster ({error})"
            ) from error

    def start(self, job: Job) -> None:
        self.running[self.task.remote(pickle.dumps(job.on(self.cpus)))] = job

    def ended(self, timeout: float) -> list[tuple[Job, str]]:
        done, _ = self.ray.wait(list(self.running), timeout=timeout)
        found = []
        for reference in done:
            try:
                status = self.ray.get(reference)
                how = how_it_ended(status)
                if not status:
                    arrived(self.running[reference])
            except self.ray.exceptions.RayError as error:  # the node is gone, or it was cancelled
                how = str(error).splitlines()[0]
            found.append((self.running.pop(reference), how))
        return found

    def stop(self, job: Job, number: int) -> None:
        for reference, other in self.running.items():
            if other.number == job.number:
                self.ray.cancel(reference, force=False)

    def kill(self) -> None:
        for reference in self.running:
            self.ray.cancel(reference, force=True)


def run_apart(job: bytes) -> int:
    """In a worker: the exit status of the process that does the job, negative when a signal ended it."""
    # its stdin is a pipe that closes when this process ends, however it does
    child = subprocess.Popen([sys.executable, "-c", MAIN, job.hex()], stdin=subprocess.PIPE, start_new_session=True)
    try:
        while (status := child.poll()) is None:
            time.sleep(0.2)  # Ray's interrupt is seen between two steps of Python only
        return status
    except KeyboardInterrupt:  # cancelled: it has the time to save
        child.send_signal(signal.SIGTERM)
        return child.wait()


def apart() -> None:
    """What that process does: the job that it is told of, until whoever told it has ended."""
    pipe = os.dup(0)  # not sys.stdin: a data worker, a fork of this process, would wait for the lock of who reads it
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)

    def follow() -> None:
        while os.read(pipe, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow, daemon=True).start()
    sys.exit(run_job(pickle.loads(bytes.fromhex(sys.argv[1]))))
