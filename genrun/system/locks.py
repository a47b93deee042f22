"""Lock a folder so that only one process at a time writes to it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from genrun.errors import Busy, Refused

POLL_SECONDS = 0.1  # seconds between two tries for a lock that another process holds


@contextlib.contextmanager
def hold(folder: Path, advice: str, *, wait: float = 0) -> Iterator[None]:
    """Lock a folder while the context lasts, by an flock on its file `.lock`, which also ends when this process is killed.

    Args:
        folder: the folder, which must exist.
        advice: the end of the error messages: what the user can do.
        wait: seconds to wait for another process that holds the lock.

    Raises:
        Busy: another process holds the lock.
        Refused: the folder cannot be written, or is on a file system that cannot lock.
    """
    try:
        # O_NOFOLLOW: if `.lock` were a link, in a folder from elsewhere, locking would empty a file of the user's
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
    except OSError as error:
        raise Refused(f"cannot write {folder}: {error.strerror}; {advice}") from None
    try:
        _lock(descriptor, wait)
    except BlockingIOError:
        holder = os.pread(descriptor, 100, 0).decode(errors="replace") or "another process"
        os.close(descriptor)
        raise Busy(f"{folder} is being run by {holder}; wait for it, or {advice}") from None
    except OSError as error:
        os.close(descriptor)
        raise Refused(f"{folder} lies on a file system that cannot lock ({error.strerror}); {advice}") from None
    held = [descriptor]

    def close() -> None:
        while held:
            os.close(held.pop())

    # else a forked data worker would keep the lock after this process has ended
    os.register_at_fork(after_in_child=close)
    try:
        try:
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        except OSError as error:
            raise Refused(f"cannot write {folder}: {error.strerror}; {advice}") from None
        yield
    finally:
        close()


def _lock(descriptor: int, wait: float) -> None:
    until = time.monotonic() + max(wait, POLL_SECONDS)  # who only asks whether the lock is held takes it for a moment
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise
            time.sleep(POLL_SECONDS)
