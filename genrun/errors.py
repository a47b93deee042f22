"""Every error a user can meet is one line: what is wrong, what was expected, what came, and what to do.

Statuses: 2 for what is known before the first training step, 1 for what happens after it, 130 and 143 for SIGINT and SIGTERM.
"""

import difflib
import signal
import sys
from collections.abc import Iterable


class GenrunError(Exception):
    """An error whose text is meant for the user; `status` is the exit status of the process."""

    status = 1


class Refused(GenrunError):
    """Known before the first training step: syntax, group, key, type, missing or corrupt data, unwritable folder."""

    status = 2


class Busy(Refused):
    """Another process is at it."""


class Failed(GenrunError):
    """Happened in a run: NaN in a loss, a full disk, out of memory, a job of a sweep."""

    status = 1


class NotFinite(Failed):
    """A loss term became NaN or Inf: the same command would meet it again, so a run does not retry it by itself."""


class Stopped(GenrunError):
    """Nothing went wrong: the run was asked to end before its end, and the same command goes on from there."""


class Pruned(Stopped):
    """A search saw no promise in the run."""


class Interrupted(Stopped):
    """A signal asked the run to stop; `status` is 130 for SIGINT and 143 for the others."""

    def __init__(self, signum: int) -> None:
        name = "Ctrl-C" if signum == signal.SIGINT else signal.Signals(signum).name
        super().__init__(f"stopped by {name}; the same command goes on from here")
        self.signum = signum
        # SIGUSR1 and SIGUSR2 are a scheduler's warnings of the SIGTERM that follows
        self.status = 128 + (signal.SIGINT if signum == signal.SIGINT else signal.SIGTERM)


def nearest(name: str, choices: Iterable[str]) -> str:
    """A hint for a misspelt name: ` (did you mean 'mnist'?)`, or nothing when no choice is near."""
    near = difflib.get_close_matches(name, list(choices), n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def as_genrun_error(error: Exception) -> GenrunError:
    """Return the error itself, or for one that nobody foresaw a `Failed` that says where its traceback is."""
    if isinstance(error, GenrunError):
        return error
    return Failed(f"{type(error).__name__}: {error} (--debug shows the traceback, a run's log.txt has it)")


def print_error(error: GenrunError) -> int:
    """Print an error as one line to stderr and return its exit status."""
    print(f"genrun: {one_line(error)}", file=sys.stderr)
    return error.status


def one_line(error: BaseException) -> str:
    """Return the text of an error without line breaks; the name of its class where it has no text."""
    return " ".join(str(error).split()) or type(error).__name__
