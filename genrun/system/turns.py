"""Take turns with other genrun processes of this machine that each use more than half of its cores.

The threads of a process wait for each other in every operation, some of them without sleeping (oneDNN's convolutions). Two processes
with a thread for each core would mostly wait for threads that do not run; one after the other, each computes at full speed.
Taking turns changes no result, unlike another number of threads.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import math
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from genrun.system.hardware import cores

T = TypeVar("T")
log = logging.getLogger("genrun")

LENGTH = 0.25  # seconds of a turn
LONGEST = 10.0  # seconds to wait for a turn: its owner may be stopped, or in one very long step
PAUSE = 60.0  # seconds without turns after that
POLL = 0.001
TURN, NEXT = 0, 1  # bytes of the file that are locked: whose turn it is, and who comes next


class Turns:
    """The turns of this process. A free turn costs some microseconds, and nothing is written.

    Two locks make it fair: who waits for the turn holds `NEXT`, so that who gives the turn away comes after him.
    They are locks of fcntl, which a forked child does not inherit and which end with the process.

    Args:
        path: the file, the same for all processes; None: the user's own in the folder of temporary files, which is of this machine only.
            Where it cannot be opened or locked, the process takes no turns.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.depth = 0  # contexts that hold the turn, one inside the other
        self.began = 0.0  # when the turn began
        self.descriptor: int | None = None
        self.skips_until = 0.0  # until then it takes no turns: it waited for one in vain

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Wait for the turn, and hold it while the context lasts."""
        self.depth += 1
        try:
            if self.depth == 1:
                self._take()
            yield
        finally:
            self.depth -= 1
            if self.depth == 0:
                self._release()

    def pass_on(self) -> None:
        """If the turn is over, let another process have its turn before this one goes on. Does nothing outside `held`."""
        if self.depth and time.monotonic() - self.began > LENGTH:
            self._release()
            self._take()

    def _take(self) -> None:
        if (now := time.monotonic()) >= self.skips_until:
            try:
                if self.descriptor is None:
                    path = self.path or Path(tempfile.gettempdir(), f"genrun-turns-{os.getuid()}")
                    self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
                if not (self._lock(NEXT, now + LONGEST) and self._lock(TURN, now + LONGEST)):
                    log.info("another run kept its turn for %g s; for %g s this one takes no turns", LONGEST, PAUSE)
                    self.skips_until = time.monotonic() + PAUSE
                fcntl.lockf(self.descriptor, fcntl.LOCK_UN, 1, NEXT)
            except OSError as error:
                log.info("this run takes no turns with others: %s", error)
                self.skips_until = math.inf
        self.began = time.monotonic()

    def _lock(self, byte: int, until: float) -> bool:
        while True:
            try:
                fcntl.lockf(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
                return True
            except (BlockingIOError, PermissionError):  # another process holds it; which error, the system decides
                if time.monotonic() > until:
                    return False
                time.sleep(POLL)

    def _release(self) -> None:
        if self.descriptor is not None:
            with contextlib.suppress(OSError):
                fcntl.lockf(self.descriptor, fcntl.LOCK_UN, 1, TURN)


turns = Turns()  # of this process


def needs_turns(device: str) -> bool:
    """Return whether a computation on this kind of device uses so many cores that no second one of its size fits beside it."""
    import torch

    return device == "cpu" and 1 < torch.get_num_threads() > cores() / 2


def held(device: str) -> contextlib.AbstractContextManager[None]:
    """Hold the turn of this process while the context lasts, if a computation on this kind of device needs one."""
    return turns.held() if needs_turns(device) else contextlib.nullcontext()


def in_turn(parts: Iterable[T], device: str) -> Iterator[T]:
    """Yield the parts of a computation on this kind of device, and let other processes have their turns between them."""
    with held(device):
        for part in parts:
            yield part
            turns.pass_on()
