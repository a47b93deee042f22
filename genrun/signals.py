"""SIGINT, SIGTERM and a scheduler's warnings: inside training they ask for a stop at the next batch boundary, outside they stop at once."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from genrun.errors import Interrupted

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)  # the last two warn of a time limit


class Signals:
    """Takes over the signals that stop a run while it works.

    `received` is the first signal that came while `patient`; a second one of the same kind ends the process at once.

    Attributes:
        insisting: whether it does. A sweep's jobs may get the same signal from the system and from the sweep, which ends them otherwise.
    """

    insisting = True

    def __init__(self) -> None:
        self.received: int | None = None
        self._patient = False

    @contextlib.contextmanager
    def watching(self) -> Iterator[Signals]:
        """For the length of a run."""
        before = {number: signal.signal(number, self._take) for number in STOPPING}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def patient(self) -> Iterator[None]:
        """For the length of a training, which looks at `received` itself at each batch's end."""
        self._patient = True
        try:
            yield
        finally:
            self._patient = False
        if self.received is not None:
            raise Interrupted(self.received)

    def _take(self, number: int, _: FrameType | None) -> None:
        if self.insisting:
            signal.signal(number, signal.SIG_DFL)
        elif self.received is not None:
            return
        self.received = self.received or number
        if not self._patient:
            raise Interrupted(number)
