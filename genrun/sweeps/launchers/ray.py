"""Run jobs on a Ray cluster. A Ray worker starts a process of its own for each job."""

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

from genrun.config.extras import to_install
from genrun.errors import Refused
from genrun.sweeps.jobs import Job, describe_exit, run_job, wait_for_result

SUBPROCESS_CODE = "from genrun.sweeps.launchers.ray import subprocess_main; subprocess_main()"


class Ray:
    """Runs jobs as Ray tasks, on nodes that share this file system and have genrun installed.

    Args:
        address: of a running cluster; None: start one on this machine.
        jobs: how many jobs run at the same time; None: as many as the cluster's cores and GPUs allow.
        cpus, gpus: how many of each a job gets.

    Raises:
        Refused: ray is not installed, the cluster cannot be reached, or it has fewer CPUs or GPUs than a job needs.
    """

    def __init__(self, address: str | None, jobs: int | None, cpus: int, gpus: float) -> None:
        for name, value, least in (("jobs", jobs, 1), ("cpus", cpus, 1), ("gpus", gpus, 0)):
            if value is not None and value < least:
                raise Refused(f"hydra.launcher.{name}: expected at least {least}, got {value}")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ModuleNotFoundError as error:
            raise Refused(f"hydra/launcher=ray needs {to_install('ray')}") from error
        self.ray, self.address, self.jobs, self.cpus, self.gpus = ray, address, jobs, cpus, gpus
        self.running: dict[Any, Job] = {}

    def begin(self, folder: Path, jobs: int | None, cfg: DictConfig) -> None:
        options = {} if self.address else {"include_dashboard": False}
        if self.address and ":" in self.address:
            self._check_reachable(self.address)
        try:
            self.ray.init(address=self.address or "local", log_to_driver=False, logging_level="error", **options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise Refused(f"hydra.launcher.address={self.address}: {str(error).splitlines()[0]}") from error
        resources = self.ray.cluster_resources()
        room = [int(resources.get("CPU", 0) // self.cpus)]
        if self.gpus:
            room.append(int(resources.get("GPU", 0) // self.gpus))
        if not min(room):
            raise Refused(
                f"hydra.launcher: a job needs {self.cpus} CPUs and {self.gpus} GPUs, "
                f"the cluster has {resources.get('CPU', 0):.0f} and {resources.get('GPU', 0):.0f}"
            )
        self.at_once = self.jobs or min(room)
        self.task = self.ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=0)(run_in_subprocess)

    def _check_reachable(self, address: str) -> None:
        """Refuse an address where nothing answers. This takes seconds, where Ray itself tries for minutes.

        Raises:
            Refused: nothing answers there, or it is no address.
        """
        host, _, port = address.removeprefix("ray://").rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except (OSError, ValueError) as error:
            raise Refused(
                f"hydra.launcher.address={address}: expected the host:port of a Ray cluster ({error})"
            ) from error

    def start(self, job: Job) -> None:
        self.running[self.task.remote(pickle.dumps(job.with_threads(self.cpus)))] = job

    def ended(self, timeout: float) -> list[tuple[Job, str]]:
        done, _ = self.ray.wait(list(self.running), timeout=timeout)
        found = []
        for reference in done:
            try:
                status = self.ray.get(reference)
                exit_description = describe_exit(status)
                if not status:
                    wait_for_result(self.running[reference])
            except self.ray.exceptions.RayError as error:  # the node is gone, or the task was cancelled
                exit_description = str(error).splitlines()[0]
            found.append((self.running.pop(reference), exit_description))
        return found

    def stop(self, job: Job, signum: int) -> None:
        for reference, other in self.running.items():
            if other.number == job.number:
                self.ray.cancel(reference, force=False)

    def kill(self) -> None:
        for reference in self.running:
            self.ray.cancel(reference, force=True)


def run_in_subprocess(job: bytes) -> int:
    """Run a pickled job in a process of its own. A Ray worker calls this.

    Returns:
        The exit status of that process; minus the signal's number where a signal ended it.
    """
    command = [sys.executable, "-P", "-c", SUBPROCESS_CODE, job.hex()]
    # its stdin is a pipe that closes when this process ends, for whatever reason
    child = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        while (status := child.poll()) is None:
            time.sleep(0.2)  # in short steps: Python sees Ray's interrupt only between two instructions
        return status
    except KeyboardInterrupt:  # cancelled: let the job save
        child.send_signal(signal.SIGTERM)
        return child.wait()


def subprocess_main() -> None:
    """Run the job given on the command line, and stop when the Ray worker that started this process ends."""
    pipe = os.dup(0)  # not sys.stdin: data workers, forked from this process, would wait for the lock of its reader
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)

    def stop_with_worker() -> None:
        while os.read(pipe, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop_with_worker, daemon=True).start()
    sys.exit(run_job(pickle.loads(bytes.fromhex(sys.argv[1]))))
