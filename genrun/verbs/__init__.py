"""What can be asked of runs and files besides running: a module for each verb, with `main(arguments)` → exit status."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import NoReturn

from genrun.errors import Refused


class Arguments(argparse.ArgumentParser):
    """Refuses in one line."""

    def error(self, message: str) -> NoReturn:
        raise Refused(f"{self.prog}: {message}; {self.prog} --help shows what there is")


def output(name: str, endings: tuple[str, ...]) -> Path:
    """The path of `--out`.

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
