"""Parse and check arguments that several verbs share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from genrun.errors import Refused

if TYPE_CHECKING:
    from genrun.runs.open import OpenRun


class Arguments(argparse.ArgumentParser):
    """An argument parser that reports an error as one line."""

    def error(self, message: str) -> NoReturn:
        raise Refused(f"{self.prog}: {message}; {self.prog} --help shows what there is")


def output_path(name: str, endings: tuple[str, ...]) -> Path:
    """Check the file that `--out` names, and return its path.

    Args:
        endings: the endings that the name may have, such as `.png`.

    Raises:
        Refused: the ending is wrong, the folder is missing or cannot be written, or the file exists already.
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
    """Open a run, and check before torch is imported that its model has only trusted classes.

    Args:
        trust: allow other classes too, also from the current folder.

    Raises:
        Refused: it is no run folder, or its model has a class that is not trusted.
    """
    from genrun.runs.open import open_run

    run = open_run(path)
    if not trust:
        run.check_trusted()
    return run


def finished_run(path: str | Path, *, trust: bool) -> OpenRun:
    """Open a finished run, and check it as `open_checked` does.

    Raises:
        Refused: the run is not finished, or `open_checked` refuses it.
    """
    run = open_checked(path, trust=trust)
    if run.status["state"] != "done":
        raise Refused(f"{path} is not finished ({run.status['state']}); give its command again first")
    return run
