"""Errors for the user. Each message is one line: what is wrong, what was expected, what was given, and what to do.

Exit statuses: 2 for errors that are known before the first training step, 1 for errors after it, 130 for SIGINT, 143 for SIGTERM.
"""

import contextlib
import difflib
import re
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence

LONGEST_LINE = 2000  # characters of an error message that are shown
# The characters that a terminal obeys instead of showing: control characters, marks that reverse the order of the text, and halves of
# characters, which cannot be encoded. Line breaks and tabs are left.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


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


class Pruned(GenrunError):
    """A search stopped the run because its score was not promising."""


class Interrupted(BaseException):
    """A signal stopped the run; `status` is 130 for SIGINT and 143 for the others.

    It is no Exception: it may be raised anywhere, and no code that handles its own errors may take it for one.
    """

    def __init__(self, signum: int) -> None:
        name = "Ctrl-C" if signum == signal.SIGINT else signal.Signals(signum).name
        super().__init__(f"stopped by {name}; the same command goes on from here")
        self.signum = signum
        # a scheduler sends SIGUSR1 or SIGUSR2 as a warning before SIGTERM
        self.status = 128 + (signal.SIGINT if signum == signal.SIGINT else signal.SIGTERM)


def nearest(name: str, choices: Iterable[str]) -> str:
    """Return a hint for a misspelt name, such as ` (did you mean 'mnist'?)`; an empty text if no choice is similar.

    A part of a longer name counts as similar, such as slurm for submitit_slurm.
    """
    choices = [choice for choice in choices if choice != name]
    near = difflib.get_close_matches(name, choices, n=1) or [
        choice for choice in choices if len(name) > 2 and name in re.split(r"\W|_", choice)
    ]
    return did_you_mean(near[:3])


def did_you_mean(names: Sequence[str]) -> str:
    """Return the hint ` (did you mean 'a' or 'b'?)`; an empty text if there are no names."""
    return f" (did you mean {' or '.join(map(repr, names[:4]))}?)" if names else ""


def as_genrun_error(error: Exception | Interrupted) -> GenrunError | Interrupted:
    """Return an error for the user unchanged; convert any other error to a `Failed` that says where its traceback is."""
    if isinstance(error, GenrunError | Interrupted):
        return error
    return Failed(f"{type(error).__name__}: {error} (--debug shows the traceback, a run's log.txt has it)")


@contextlib.contextmanager
def before_training() -> Iterator[None]:
    """Convert any error to one that was known before the first training step, while the context lasts."""
    try:
        yield
    except GenrunError:
        raise
    except Exception as error:
        raise Refused(f"{type(error).__name__}: {error} (--debug shows the traceback)") from error


def print_error(error: GenrunError | Interrupted) -> int:
    """Print an error as one line to stderr, and return its exit status."""
    print(f"genrun: {one_line(error)}", file=sys.stderr)
    return error.status


def one_line(error: BaseException) -> str:
    """Return the message of an error without line breaks, for a terminal; if it has no message, return the name of its class."""
    text = printable(" ".join(str(error).split())) or type(error).__name__
    return text if len(text) <= LONGEST_LINE else f"{text[:LONGEST_LINE]} …"


def printable(text: str) -> str:
    r"""Return a text in which each character that a terminal would obey, such as the escape character, is written out, such as \x1b."""
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
