"""Send log messages to a run's log.txt and keep them off the screen."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from genrun.errors import printable
from genrun.runs.folder import RunFolder
from genrun.system.files import open_to_append

LOGGERS = [logging.getLogger(name) for name in ("genrun", "pytorch_lightning", "lightning_fabric", "py.warnings")]


@contextlib.contextmanager
def logging_to(handler: logging.Handler) -> Iterator[None]:
    """Send the messages of genrun and Lightning and all warnings to one handler while the context lasts, not to the screen."""
    before = [(logger.handlers, logger.propagate, logger.level) for logger in LOGGERS]
    logging.captureWarnings(True)
    for logger in LOGGERS:
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for logger, (handlers, propagate, level) in zip(LOGGERS, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
        handler.close()


class LogFile(logging.StreamHandler):
    """A handler that appends to the log.txt of a run, with what a terminal would obey written out."""

    def __init__(self, folder: RunFolder) -> None:
        super().__init__(open_to_append(folder.path / "log.txt"))
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))

    def handleError(self, record: logging.LogRecord) -> None:
        """Do nothing: the write that fails on a full disk reports it, and one line is enough."""

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.stream.close()
        super().close()
