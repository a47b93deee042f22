"""Start, watch and stop the worker processes of a training on several devices.

Rank 0 is the run's own process: only it holds the lock, writes the folder and talks to the user. A worker reads the
folder's config.yaml, takes part in the training, and ends. A worker also reads from a pipe of rank 0 and ends when the
pipe closes, so no worker outlives rank 0.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from pytorch_lightning import Trainer
from torch import distributed

from genrun.distributed.strategy import COLLECTIVE_TIMEOUT, SharedBatches
from genrun.errors import Failed
from genrun.runs.folder import RunFolder
from genrun.system.files import open_to_append
from genrun.types import Phase

GRACE = 20.0  # seconds for rank 0 to notice by itself that a worker is gone, and for workers to end


class Workers:
    """The worker processes of a training: ranks 1, 2, …

    Attributes:
        failure: the line that says which worker ended while it was needed, and why; empty while none did.
        needed: whether the training still needs the workers.
    """

    def __init__(
        self, folder: RunFolder, phase: Phase, processes: int, port: int, threads: int, start: Path | None
    ) -> None:
        self.folder, self.failure, self.needed = folder, "", True
        arguments = [str(folder.path), phase.stage, str(processes), str(port), str(threads), str(start or "")]
        # the workers find the user's own classes where this process finds them
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
        with open_to_append(folder.path / "log.txt") as log:
            self.children = [
                subprocess.Popen(
                    [sys.executable, "-P", "-m", "genrun.training.worker", str(rank), *arguments],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    env=environment,
                    start_new_session=True,  # Ctrl-C goes to rank 0 alone, which stops the workers at the end of a batch
                )
                for rank in range(1, processes)
            ]

    def wait_until_ready(self) -> None:
        """Wait until all workers have built their data, method and trainer, and watch them from then on.

        Raises:
            Failed: a worker could not build them.
        """
        for rank, child in enumerate(self.children, 1):
            answer = child.stdout.readline()
            if answer.strip() != "ready":
                raise Failed(self._error_line(rank, child, answer))
        for rank, child in enumerate(self.children, 1):
            threading.Thread(target=self._watch, args=(rank, child), daemon=True).start()

    def _error_line(self, rank: int, child: subprocess.Popen, answer: str) -> str:
        with contextlib.suppress(ValueError):
            return f"process {rank} of the training ended: {json.loads(answer)['error']}"
        status = child.wait(GRACE)
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        return f"process {rank} of the training ended {how}; log.txt may say why, and the same command goes on from the last checkpoint"

    def _watch(self, rank: int, child: subprocess.Popen) -> None:
        """Wait for a worker to end; if it was still needed, end this process too."""
        answer = child.stdout.readline()
        if child.wait() == 0 or not self.needed:
            return
        self.failure = self.failure or self._error_line(rank, child, answer)
        limit = time.monotonic() + GRACE
        while self.needed and time.monotonic() < limit:
            time.sleep(0.1)
        if self.needed:  # this process still waits for the ended worker (NCCL does, for hours)
            with contextlib.suppress(OSError):
                self.folder.end_attempt("failed", self.failure, "Failed")
            print(f"genrun: {self.failure}", file=sys.stderr, flush=True)
            os._exit(Failed.status)

    def wait_for_failure(self) -> str:
        """Wait a few seconds for a worker that may be failing, and return why it ended; empty if none did."""
        limit = time.monotonic() + GRACE / 4
        while not self.failure and time.monotonic() < limit:
            time.sleep(0.05)
        return self.failure

    def wait(self) -> None:
        """Wait until the worker processes, which have finished their training, end."""
        for child in self.children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(GRACE)

    def stop(self) -> None:
        """Stop all worker processes."""
        self.needed = False
        for child in self.children:
            with contextlib.suppress(OSError):
                child.stdin.close()
        for child in self.children:
            try:
                child.wait(GRACE)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            child.stdout.close()


@contextlib.contextmanager
def workers_of(trainer: Trainer, folder: RunFolder, phase: Phase, threads: int, start: Path | None) -> Iterator[None]:
    """Run the worker processes of a training while the context lasts; there are none for a training on one device.

    Args:
        trainer: the trainer of rank 0.
        folder: the run folder.
        phase: the phase of the training.
        threads: number of threads of each process.
        start: the checkpoint that the training resumes from.

    Raises:
        Failed: a worker ended before the training was over.
    """
    strategy = trainer.strategy
    if not isinstance(strategy, SharedBatches):
        yield
        return
    processes, before = strategy.environment.processes, torch.get_num_threads()
    strategy.store = distributed.TCPStore("127.0.0.1", 0, processes, True, COLLECTIVE_TIMEOUT, wait_for_workers=False)
    workers = Workers(folder, phase, processes, strategy.store.port, threads, start)
    torch.set_num_threads(threads)
    try:
        workers.wait_until_ready()
        yield
        workers.needed = False
        distributed.destroy_process_group()
        workers.wait()
    except RuntimeError as error:  # a collective operation raises this when another rank is gone
        if not (line := workers.wait_for_failure()):
            raise
        raise Failed(line) from error
    finally:
        workers.stop()
        if distributed.is_initialized():
            distributed.destroy_process_group()
        strategy.store = None
        torch.set_num_threads(before)
