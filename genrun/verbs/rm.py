"""`genrun rm RUN…`: delete runs, or only their checkpoints."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from genrun.errors import Refused
from genrun.runs.find import find_run, read_summary
from genrun.system.locks import hold
from genrun.verbs.arguments import Arguments, outputs_folder


def main(arguments: list[str]) -> int:
    """Say what would be freed, ask, and delete."""
    parser = Arguments("genrun rm", description="Delete runs. genrun asks first, and never deletes from a run at work.")
    parser.add_argument("words", nargs="+", metavar="RUN", help="a folder, an id or its beginning")
    parser.add_argument(
        "--checkpoints",
        action="store_true",
        help="only the checkpoints: the run can still be opened, but not be extended",
    )
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    asked = parser.parse_intermixed_args(arguments)
    words, outputs = outputs_folder(asked.words)
    folders = list(dict.fromkeys(checked(find_run(word, outputs)) for word in words))
    files = {folder: files_of(folder / "checkpoints" if asked.checkpoints else folder) for folder in folders}
    for folder in folders:
        print(f"{folder}  {size_of(files[folder])}")
    total = size_of([file for each in files.values() for file in each])
    if not asked.yes and not agreed(
        f"delete {'their checkpoints' if asked.checkpoints else 'all this'}, {total}? [y/N] "
    ):
        print("nothing was deleted")
        return 0
    for folder in folders:
        with hold(folder, "delete it when it has ended"):
            shutil.rmtree(folder / "checkpoints" if asked.checkpoints else folder)
    print(f"freed {total}")
    return 0


def checked(folder: Path) -> Path:
    """Return a run folder that may be deleted.

    Raises:
        Refused: it is no run folder, it is a link, or a process is at work on it.
    """
    if folder.is_symlink() or not (folder / "status.json").is_file() or not (folder / "config.yaml").is_file():
        raise Refused(f"{folder}: expected a run folder (with status.json and config.yaml), found none there")
    if read_summary(folder).at_work():
        raise Refused(f"{folder} is at work; stop it first")
    return folder


def files_of(folder: Path) -> list[Path]:
    """Return all files below a folder; links are not followed."""
    return [file for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]


def size_of(files: list[Path]) -> str:
    """Format the size of files together: `12 MB`."""
    size = float(sum(file.stat().st_size for file in files))
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.3g} {unit}"


def agreed(question: str) -> bool:
    """Ask on the terminal.

    Raises:
        Refused: there is no terminal to ask on.
    """
    if not sys.stdin.isatty():
        raise Refused("there is no terminal to ask on; --yes deletes without asking")
    return input(question).strip().lower() in ("y", "yes")
