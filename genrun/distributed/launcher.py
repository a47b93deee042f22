"""Start, watch and stop the worker processes of a training on several devices.

Rank 0 is the run's own process: it alone holds the lock, writes the folder and talks to the user. A worker reads the folder's config.yaml,
takes part in the training, and ends. It reads from a pipe of rank 0, and ends when that closes: rank 0 cannot die without its workers.
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
from genrun.types import Phase

GRACE = 20.0  # seconds that process 0 has to notice by itself that it is alone, and that the others have to end


class Workers:
    """The worker processes of a training: ranks 1, 2, …

    Attributes:
        lost: the line that says which worker ended while it was needed, and why; empty while none did.
        needed: the training is not over.
    """

    def __init__(
        self, folder: RunFolder, phase: Phase, processes: int, port: int, threads: int, start: Path | None
    ) -> None:
        self.folder, self.lost, self.needed = folder, "", True
        arguments = [str(folder.path), phase.stage, str(processes), str(port), str(threads), str(start or "")]
        # classes of the user's own are found where this process finds them
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
        with open(folder.path / "log.txt", "ab") as log:
            self.children = [
                subprocess.Popen(
                    [sys.executable, "-m", "genrun.training.worker", str(rank), *arguments],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    env=environment,
                    start_new_session=True,  # Ctrl-C is for process 0, which stops them at a batch
                )
                for rank in range(1, processes)
            ]

    def wait_until_ready(self) -> None:
        """Wait until all workers have built what they train, and watch them from then on.

        Raises:
            Failed: a worker could not.
        """
        for rank, child in enumerate(self.children, 1):
            word = child.stdout.readline()
            if word.strip() != "ready":
                raise Failed(self._line(rank, child, word))
        for rank, child in enumerate(self.children, 1):
            threading.Thread(target=self._watch, args=(rank, child), daemon=True).start()

    def _line(self, rank: int, child: subprocess.Popen, word: str) -> str:
        with contextlib.suppress(ValueError):
            return f"process {rank} of the training ended: {json.loads(word)['error']}"
        status = child.wait(GRACE)
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        return f"process {rank} of the training ended {how}; log.txt may say why, and the same command goes on from the last checkpoint"

    def _watch(self, rank: int, child: subprocess.Popen) -> None:
        """Wait for a worker to end; when it was still needed, end this process too."""
        word = child.stdout.readline()
        if child.wait() == 0 or not self.needed:
            return
        self.lost = self.lost or self._line(rank, child, word)
        limit = time.monotonic() + GRACE
        while self.needed and time.monotonic() < limit:
            time.sleep(0.1)
        if self.needed:  # this process waits for one that is no more (NCCL does, for hours)
            with contextlib.suppress(OSError):
                self.folder.end_attempt("failed", self.lost, "Failed")
            print(f"genrun: {self.lost}", file=sys.stderr, flush=True)
            os._exit(Failed.status)

    def was_lost(self) -> str:
        """Return why a worker ended, waiting for one that may be ending just now; empty when none did."""
        limit = time.monotonic() + GRACE / 4
        while not self.lost and time.monotonic() < limit:
            time.sleep(0.05)
        return self.lost

    def wait(self) -> None:
        """Wait for worker processes that have finished their training to end."""
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
    """Run the worker processes of a training while the context lasts; none for a training on one device.

    Args:
        phase: of the training.
        threads: of each process.
        start: the checkpoint that they go on from.

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
    except RuntimeError as error:  # what a collective raises when its other end is gone
        if not (line := workers.was_lost()):
            raise
        raise Failed(line) from error
    finally:
        workers.stop()
        if distributed.is_initialized():
            distributed.destroy_process_group()
        strategy.store = None
        torch.set_num_threads(before)
