"""Every error a user can meet is one line: what is wrong, what was expected, what came, and what to do.

Statuses: 2 for what is known before the first training step, 1 for what happens after it, 130 and 143 for SIGINT and SIGTERM.
"""

import difflib
from collections.abc import Iterable


class GenrunError(Exception):
    """An error whose text is meant for the user; `status` is the exit status of the process."""

    status = 1


class Refused(GenrunError):
    """Known before the first training step: syntax, group, key, type, missing or corrupt data, unwritable folder."""

    status = 2


class Failed(GenrunError):
    """Happened in a run: NaN in a loss, a full disk, out of memory, a job of a sweep."""

    status = 1


class NotFinite(Failed):
    """A loss term became NaN or Inf: the same command would meet it again, so a run does not retry it by itself."""


class Interrupted(GenrunError):
    """SIGINT or SIGTERM asked the run to stop; `status` is 128 + the signal's number."""

    def __init__(self, signum: int) -> None:
        name = {2: "Ctrl-C", 15: "SIGTERM"}.get(signum, f"signal {signum}")
        super().__init__(f"stopped by {name}; the same command goes on from here")
        self.status = 128 + signum


def nearest(name: str, choices: Iterable[str]) -> str:
    """A hint for a misspelt name: ` (did you mean 'mnist'?)`, or nothing when no choice is near."""
    near = difflib.get_close_matches(name, list(choices), n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""
