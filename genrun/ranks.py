"""The other processes of a training on several devices: started beside this one, watched, and ended with it.

Process 0 is the run's own: it alone holds the lock, writes the folder and speaks. The others read the folder's config.yaml, take part in
`fit`, and end. Each hangs on a pipe from process 0: when that ends, however it ends, so do they.
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

from genrun.errors import Failed
from genrun.runs import RunFolder
from genrun.shared import PATIENCE, SharedBatches

GRACE = 20.0  # seconds that process 0 has to notice by itself that it is alone, and that the others have to end


class Others:
    """Processes 1, 2, … of a training.

    Attributes:
        lost: the line that says which of them ended while it was needed, and why.
    """

    def __init__(self, folder: RunFolder, processes: int, port: int, threads: int, start: Path | None) -> None:
        self.folder, self.lost, self.needed = folder, "", True
        arguments = [str(folder.path), str(processes), str(port), str(threads), str(start or "")]
        # classes of the user's own are found where this process finds them
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
        with open(folder.path / "log.txt", "ab") as log:
            self.children = [
                subprocess.Popen(
                    [sys.executable, "-m", "genrun.rank", str(rank), *arguments],
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
        """Until all have built what they train; from then on they are watched.

        Raises:
            Failed: one could not.
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
        """Wait for the end of one; when that was not its time, this process ends too, if need be from here."""
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
        """`lost`, of one that may be ending just now; empty when none was."""
        limit = time.monotonic() + GRACE / 4
        while not self.lost and time.monotonic() < limit:
            time.sleep(0.05)
        return self.lost

    def wait(self) -> None:
        """For those that are done as well, and will end."""
        for child in self.children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(GRACE)

    def end(self) -> None:
        """Of all of them, now."""
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
def together(trainer: Trainer, folder: RunFolder, threads: int, start: Path | None) -> Iterator[None]:
    """For the length of a training: the other processes, where it has any.

    Args:
        threads: of each process.
        start: the checkpoint that they go on from.

    Raises:
        Failed: one of them ended before its time.
    """
    strategy = trainer.strategy
    if not isinstance(strategy, SharedBatches):
        yield
        return
    processes, before = strategy.member.processes, torch.get_num_threads()
    strategy.store = distributed.TCPStore("127.0.0.1", 0, processes, True, PATIENCE, wait_for_workers=False)
    others = Others(folder, processes, strategy.store.port, threads, start)
    torch.set_num_threads(threads)
    try:
        others.wait_until_ready()
        yield
        others.needed = False
        distributed.destroy_process_group()
        others.wait()
    except RuntimeError as error:  # what a collective raises when its other end is gone
        if not (line := others.was_lost()):
            raise
        raise Failed(line) from error
    finally:
        others.end()
        if distributed.is_initialized():
            distributed.destroy_process_group()
        strategy.store = None
        torch.set_num_threads(before)
