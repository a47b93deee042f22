"""End a process without delay."""

from __future__ import annotations

import atexit
import logging
import os
import sys
from collections.abc import Callable


def end_at_once(status: Callable[[], int]) -> None:
    """Make this process end as soon as everything is done that others registered for its end.

    Python would go on to take apart all modules, object by object, which takes more than a second when torch is among them.

    Args:
        status: returns the exit status of the process.
    """

    def end() -> None:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status())

    atexit.register(end)  # what is registered later is done earlier
