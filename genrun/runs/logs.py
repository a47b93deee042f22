"""Where messages go: into a run's log.txt, and not onto the screen."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from genrun.runs.folder import RunFolder

LOGGERS = [logging.getLogger(name) for name in ("genrun", "pytorch_lightning", "lightning_fabric", "py.warnings")]


@contextlib.contextmanager
def logging_to(handler: logging.Handler) -> Iterator[None]:
    """Send genrun's and Lightning's messages and all warnings to one handler, and keep them off the screen."""
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
    """log.txt, which is appended to."""
    handler = logging.FileHandler(folder.path / "log.txt")
    handler.handleError = lambda record: None  # a full disk is reported once, in one line, by what met it
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    return handler
