"""Send log messages to a run's log.txt and keep them off the screen."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from genrun.runs.folder import RunFolder

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


def log_file(folder: RunFolder) -> logging.Handler:
    """Return a handler that appends to the log.txt of a run."""
    handler = logging.FileHandler(folder.path / "log.txt")
    handler.handleError = lambda record: None  # the write that fails on a full disk reports it; one line is enough
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    return handler
