"""Handle SIGINT, SIGTERM and a scheduler's warnings: they stop a training at the next batch, anything else at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from genrun.errors import Interrupted

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)  # the last two warn of a time limit


class Signals:
    """A handler of the signals that stop a run.

    Args:
        insisting: whether a second signal of the same kind ends the process at once. A job of a sweep sets this to
            False: it may get the same signal from the system and from the sweep, and the sweep has another way to end it.

    Attributes:
        received: the first signal that arrived; None: none did.
    """

    def __init__(self, *, insisting: bool = True) -> None:
        self.insisting = insisting
        self.received: int | None = None
        self._deferred = False

    @contextlib.contextmanager
    def watching(self) -> Iterator[Signals]:
        """Handle the signals while the context lasts, then restore the previous handlers.

        A signal that came before, and that this process was started to hold back (`held_back`), is handled now. Python lets only the
        main thread handle signals: in another one they are left to the program that started it.
        """
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.signal(number, self._take) for number in STOPPING}
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Only record a signal in `received` while the context lasts; the training checks it at the end of each batch.

        Raises:
            Interrupted: at the end of the context, if a signal arrived and the training did not stop for it.
        """
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        self.check()

    def check(self) -> None:
        """Raise the signal that arrived, if the code that it interrupted has swallowed it.

        Raises:
            Interrupted: a signal arrived.
        """
        if self.received is not None:
            raise Interrupted(self.received)

    def _take(self, number: int, _: FrameType | None) -> None:
        if self.insisting:
            signal.signal(number, signal.SIG_DFL)
        if self.received is not None:  # the run is stopping: what it does for that must not be broken off
            return
        self.received = number
        if not self._deferred:
            raise Interrupted(number)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Start processes in this context that hold back the signals sent to them until they watch for signals themselves."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
