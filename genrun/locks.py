"""A folder that one process at a time may write."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from genrun.errors import Busy, Refused

LOOKS = 0.1  # seconds between looks at a lock that another process holds


@contextlib.contextmanager
def hold(folder: Path, advice: str, *, wait: float = 0) -> Iterator[None]:
    """Hold `folder` by an flock on its file `.lock`, which ends with this process however that ends.

    Args:
        folder: it must exist.
        advice: what to do where it cannot be held.
        wait: seconds that another process is given to let go.

    Raises:
        Busy: another process holds it.
        Refused: it cannot be written, or lies on a file system that cannot lock.
    """
    try:
        # a link in a folder from elsewhere would let the lock empty a file of the user's
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
    except OSError as error:
        raise Refused(f"cannot write {folder}: {error.strerror}; {advice}") from None
    try:
        _lock(descriptor, wait)
    except BlockingIOError:
        holder = os.pread(descriptor, 100, 0).decode() or "another process"
        os.close(descriptor)
        raise Busy(f"{folder} is being run by {holder}; wait for it, or {advice}") from None
    except OSError as error:
        os.close(descriptor)
        raise Refused(f"{folder} lies on a file system that cannot lock ({error.strerror}); {advice}") from None
    # A forked child (a data worker) would hold the lock after we are gone: it lets go at once.
    held = [descriptor]
    os.register_at_fork(after_in_child=lambda: [os.close(held.pop()) for _ in list(held)])
    try:
        try:
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        except OSError as error:
            raise Refused(f"cannot write {folder}: {error.strerror}; {advice}") from None
        yield
    finally:
        for descriptor in list(held):
            held.remove(descriptor)
            os.close(descriptor)


def _lock(descriptor: int, wait: float) -> None:
    until = time.monotonic() + wait
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise
            time.sleep(LOOKS)
