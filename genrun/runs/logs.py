"""Write a run's log.txt: what the run says and does, and each warning once, with nothing of it on the screen."""

from __future__ import annotations

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from genrun.errors import printable
from genrun.runs.folder import RunFolder
from genrun.system.files import open_to_append

LEVELS = {  # the least level of each logger that is kept; Lightning's own notes tell a reader nothing
    "genrun": logging.INFO,
    "pytorch_lightning": logging.WARNING,
    "lightning_fabric": logging.WARNING,
    "py.warnings": logging.WARNING,
}


@contextlib.contextmanager
def logging_to(handler: logging.Handler) -> Iterator[None]:
    """Send the messages of genrun, the warnings of Lightning and all Python warnings to one handler, not to the screen."""
    loggers = [logging.getLogger(name) for name in LEVELS]
    before = [(logger.handlers, logger.propagate, logger.level) for logger in loggers]
    show_before, warnings.showwarning = warnings.showwarning, log_warning
    for logger, level in zip(loggers, LEVELS.values(), strict=True):
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
    try:
        yield
    finally:
        warnings.showwarning = show_before
        for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
        handler.close()


def log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: object = None,
) -> None:
    """Log a Python warning in one line, with the file that it comes from; the arguments are those of `warnings.showwarning`."""
    place = "/".join(Path(filename).parts[-3:])
    logging.getLogger("py.warnings").warning(
        "%s: %s (%s:%d)", category.__name__, " ".join(str(message).split()), place, lineno
    )


class WarnedOnce(logging.Filter):
    """Drops a warning that came before. Warnings of other libraries are the same if they differ in numbers alone."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING:
            return True
        text = record.getMessage()
        key = text if record.name.startswith("genrun") else re.sub(r"\d+", "#", text)
        new = key not in self.seen
        self.seen.add(key)
        return new


class LogFile(logging.StreamHandler):
    """A handler that appends to the log.txt of a run, each warning once, with what a terminal would obey written out."""

    def __init__(self, folder: RunFolder) -> None:
        super().__init__(open_to_append(folder.path / "log.txt"))
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        self.addFilter(WarnedOnce())

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))

    def handleError(self, record: logging.LogRecord) -> None:
        """Do nothing: the write that fails on a full disk reports it, and one line is enough."""

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.stream.close()
        super().close()
