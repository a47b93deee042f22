"""Errors for the user. Each message is one line: what is wrong, what was expected, what was given, and what to do.

Exit statuses: 2 for errors that are known before the first training step, 1 for errors after it, 130 for SIGINT, 143 for SIGTERM.
"""

import difflib
import signal
import sys
from collections.abc import Iterable


class GenrunError(Exception):
    """An error whose message is meant for the user; `status` is the exit status of the process."""

    status = 1


class Refused(GenrunError):
    """An error that is known before the first training step.

    Examples: syntax, group, key, type, missing or corrupt data, unwritable folder.
    """

    status = 2


class Busy(Refused):
    """An error because another process holds the lock on the folder."""


class WrongArithmetic(Refused):
    """An error because the device computes wrongly in reduced precision; the message names the layer and what is wrong."""


class Failed(GenrunError):
    """An error during a run: NaN in a loss, a full disk, out of memory, or a failed job of a sweep."""

    status = 1


class NotFinite(Failed):
    """A loss term became NaN or Inf. The same command would fail again, so the run is not resumed automatically."""


class Stopped(GenrunError):
    """A run was stopped early, not by an error; the same command continues it."""


class Pruned(Stopped):
    """A search stopped the run because its score was not promising."""


class Interrupted(Stopped):
    """A signal stopped the run; `status` is 130 for SIGINT and 143 for the others."""

    def __init__(self, signum: int) -> None:
        name = "Ctrl-C" if signum == signal.SIGINT else signal.Signals(signum).name
        super().__init__(f"stopped by {name}; the same command goes on from here")
        self.signum = signum
        # a scheduler sends SIGUSR1 or SIGUSR2 as a warning before SIGTERM
        self.status = 128 + (signal.SIGINT if signum == signal.SIGINT else signal.SIGTERM)


def nearest(name: str, choices: Iterable[str]) -> str:
    """Return a hint for a misspelt name, such as ` (did you mean 'mnist'?)`; an empty text if no choice is similar."""
    near = difflib.get_close_matches(name, list(choices), n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def as_genrun_error(error: Exception) -> GenrunError:
    """Return a GenrunError unchanged; convert any other error to a `Failed` that says where its traceback is."""
    if isinstance(error, GenrunError):
        return error
    return Failed(f"{type(error).__name__}: {error} (--debug shows the traceback, a run's log.txt has it)")


def print_error(error: GenrunError) -> int:
    """Print an error as one line to stderr, and return its exit status."""
    print(f"genrun: {one_line(error)}", file=sys.stderr)
    return error.status


def one_line(error: BaseException) -> str:
    """Return the message of an error without line breaks; if it has no message, return the name of its class."""
    return " ".join(str(error).split()) or type(error).__name__
