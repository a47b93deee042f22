"""What the command lines of the verbs have in common."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from genrun.errors import Refused

if TYPE_CHECKING:
    from genrun.runs.open import OpenRun


class Arguments(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise Refused(f"{self.prog}: {message}; {self.prog} --help shows what there is")


def output_path(name: str, endings: tuple[str, ...]) -> Path:
    """Check the path that `--out` names.

    Raises:
        Refused: another ending, no such folder, or one that cannot be written, or it exists already.
    """
    out = Path(name)
    if out.suffix not in endings:
        raise Refused(f"--out {out}: expected a name that ends in {' or '.join(endings)}")
    if not out.parent.is_dir():
        raise Refused(f"--out {out}: there is no folder {out.parent}")
    if not os.access(out.parent, os.W_OK):
        raise Refused(f"--out {out}: the folder {out.parent} cannot be written")
    if out.exists():
        raise Refused(f"--out {out} exists already; choose another name")
    return out


def open_checked(path: str | Path, *, trust: bool) -> OpenRun:
    """Open a run, and refuse classes from elsewhere before torch is imported.

    Args:
        trust: build them, also from the current folder.

    Raises:
        Refused: it is no run folder, or its model names what is not trusted.
    """
    from genrun.runs.open import open_run

    run = open_run(path)
    if not trust:
        run.check_trusted()
    return run


def finished_run(path: str | Path, *, trust: bool) -> OpenRun:
    """Open a run that is done; see `open_checked`.

    Raises:
        Refused: it is not done.
    """
    run = open_checked(path, trust=trust)
    if run.status["state"] != "done":
        raise Refused(f"{path} is not finished ({run.status['state']}); give its command again first")
    return run
