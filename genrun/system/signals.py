"""SIGINT, SIGTERM and a scheduler's warnings: in training they stop the run at the next batch, elsewhere at once."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from genrun.errors import Interrupted

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)  # the last two warn of a time limit


class Signals:
    """Takes over the signals that stop a run.

    Args:
        insisting: a second signal of the same kind ends the process at once. A sweep's job may get the same signal from the system and
            from the sweep, which ends it otherwise, so it does not insist.

    Attributes:
        received: the first signal that came while they were deferred.
    """

    def __init__(self, *, insisting: bool = True) -> None:
        self.insisting = insisting
        self.received: int | None = None
        self._deferred = False

    @contextlib.contextmanager
    def watching(self) -> Iterator[Signals]:
        """Handle the signals while the context lasts, and restore the handlers of before."""
        before = {number: signal.signal(number, self._take) for number in STOPPING}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Only note a signal in `received`: a training looks at it at each batch's end.

        Raises:
            Interrupted: at the end of the context, when a signal came that nobody acted on.
        """
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        if self.received is not None:
            raise Interrupted(self.received)

    def _take(self, number: int, _: FrameType | None) -> None:
        if self.insisting:
            signal.signal(number, signal.SIG_DFL)
        elif self.received is not None:
            return
        self.received = self.received or number
        if not self._deferred:
            raise Interrupted(number)
