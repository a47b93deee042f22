"""Make stdout and stderr safe: closed ones, encodings that lack characters, readers that go away, full disks."""

from __future__ import annotations

import errno
import io
import os
import sys


class Stream(io.FileIO):
    """A standard stream of this process. A write that fails does not stop the work, which has its results in files.

    Attributes:
        error: why writing failed; None: everything was written, or its reader has gone (`| head`).
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.error: str | None = None

    def write(self, content: bytes) -> int:
        try:
            return super().write(content)
        except OSError as error:
            if error.errno != errno.EPIPE:
                self.error = error.strerror
            return len(content)


def open_streams() -> list[Stream]:
    """Make stdout and stderr safe to write to: open closed ones, replace what their encoding lacks, survive a write that fails.

    Streams that something else put in their place, such as a notebook's, are left as they are.

    Returns:
        The streams, for `lost_output`.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed by the shell; else the next file that is opened would become this stream
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, this one
    streams = []
    for number, name in ((1, "stdout"), (2, "stderr")):
        given = getattr(sys, name)
        if given is not None and given is not getattr(sys, f"__{name}__"):
            continue
        encoding, errors = ("utf-8", "strict") if given is None else (given.encoding, given.errors)
        errors = "replace" if errors in ("strict", "surrogateescape") else errors
        lines = number == 2 or os.isatty(number)
        streams.append(Stream(number))
        setattr(sys, name, io.TextIOWrapper(io.BufferedWriter(streams[-1]), encoding, errors, line_buffering=lines))
    return streams


def lost_output(streams: list[Stream]) -> str | None:
    """Flush stdout and stderr, and return in words why some output was lost; None if none was."""
    sys.stdout.flush()
    sys.stderr.flush()
    return next((f"some output could not be written: {stream.error}" for stream in streams if stream.error), None)
