"""Read and write files: what is written is whole on the disk or absent, and no link is followed when writing.

A folder that a stranger made may hold links to the user's own files, pipes that never end, and files that do not fit into memory.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

PNG = b"\x89PNG\r\n\x1a\n"  # the first bytes of every PNG file


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """Open `path` for writing so that it appears whole or not at all: temporary file, fsync, rename, fsync of the folder.

    If `path` is a link, the link is replaced; its target stays as it is.
    """
    # two processes or threads may write the same file of a cache
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()  # of a killed process with the same number
        with open(temporary, "wb", opener=_open_new) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a file whole or not at all; its folder must exist."""
    with atomic(path) as file:
        file.write(content.encode(errors="backslashreplace") if isinstance(content, str) else content)


def write_json(path: Path, content: Any) -> None:
    write_atomic(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def open_to_append(path: Path) -> IO[str]:
    """Open a text file to write at its end; make it if it does not exist.

    Raises:
        OSError: it is a link or not a regular file, or it cannot be written.
    """
    return open(path, "a", encoding="utf-8", errors="backslashreplace", opener=_open_own)


def read_regular(path: Path, limit: int) -> bytes:
    """Return the content of a file.

    Args:
        limit: the largest size in bytes.

    Raises:
        OSError: there is no such file, it is not a regular file (a pipe would never end), or it is larger.
    """
    with open(path, "rb", opener=_open_regular) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit:,} bytes", str(path))
    return content


def read_inside(path: Path, folder: Path, limit: int) -> bytes:
    """Return the content of a file of a folder that a stranger may have made.

    Args:
        limit: the largest size in bytes.

    Raises:
        OSError: a link leads out of the folder, or as in `read_regular`.
    """
    return read_regular(inside(path, folder), limit)


def inside(path: Path, folder: Path) -> Path:
    """Return the true path of a file of a folder; the file need not exist.

    Raises:
        OSError: a link leads out of the folder.
    """
    true = Path(os.path.realpath(path))
    if not true.is_relative_to(os.path.realpath(folder)):
        raise OSError(errno.EPERM, "a link out of the folder", str(path))
    return true


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _open_new(path: str, flags: int) -> int:
    """Make a file; refuse one that is there already, also a link to nowhere."""
    return os.open(path, flags | os.O_EXCL | os.O_NOFOLLOW, 0o666)


def _open_own(path: str, flags: int) -> int:
    """Open a regular file that is no link."""
    return _open_regular(path, flags | os.O_NOFOLLOW)


def _open_regular(path: str, flags: int) -> int:
    """Open a regular file; without O_NONBLOCK, opening a pipe would wait for its other end."""
    descriptor = os.open(path, flags | os.O_NONBLOCK, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return descriptor


def why_no_folder(folder: Path) -> str | None:
    """Return in words why a folder cannot be made and written to; None if nothing speaks against it."""
    there = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    if not there.is_dir():
        return f"{there} is not a folder"
    return None if os.access(there, os.W_OK | os.X_OK) else f"{there} cannot be written"
