"""`genrun rm RUN…`: delete runs."""

from __future__ import annotations

import glob
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from genrun.errors import Failed, Refused
from genrun.runs.find import paths_of
from genrun.runs.summary import at_work, is_current
from genrun.system.console import size_text
from genrun.system.locks import hold
from genrun.verbs.arguments import RUN, Arguments, outputs_folder


def main(arguments: list[str]) -> int:
    """Say what would be freed, ask, and delete."""
    sure, folders = parse(
        "genrun rm",
        "Delete runs. genrun says how much that frees and asks first; it never deletes a run at work, and never what a link leads to.",
        arguments,
    )
    return delete(folders, lambda folder: [folder], "these runs", sure=sure)


def parse(verb: str, description: str, arguments: list[str]) -> tuple[bool, list[Path]]:
    """Return whether not to ask, and the folders of the runs that the command names.

    Raises:
        Refused: a word names no run, or a run cannot be deleted.
    """
    parser = Arguments(verb, description=description)
    parser.add_argument("words", nargs="+", metavar="RUN", help=f"{RUN}; a pattern in quotes for many")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    asked = parser.parse_intermixed_args(arguments)
    words, outputs = outputs_folder(asked.words)
    if not words:
        parser.error("expected at least one RUN")
    if wrong := [word for word in words if "=" in word and not word.startswith("best:") and not os.path.lexists(word)]:
        raise Refused(f"{wrong[0]}: {verb} takes no conditions; name the runs, or give a pattern of their folders")
    folders = [checked(path) for word in words for path in paths_of(word, outputs) if named_run(word, path)]
    if not folders:
        raise Refused(f"{words[0]}: no run folder matches this pattern")
    return asked.yes, list({folder.resolve(): folder for folder in folders}.values())


def named_run(word: str, path: Path) -> bool:
    """Return whether a path is meant: what a pattern also matches, such as the folder of a sweep, is not."""
    return not glob.has_magic(word) or is_current(path)


def checked(folder: Path) -> Path:
    """Return a run folder that may be deleted, also one that is damaged.

    Raises:
        Refused: it is no run folder, it is a link, or a process is at work on it.
    """
    folder = folder.absolute() if folder.name in ("", "..") else folder  # such as `.`
    if folder.is_symlink():
        raise Refused(f"{folder} is a link; give the path of the run folder itself")
    if not (folder / "status.json").is_file() or not (folder / "config.yaml").is_file():
        raise Refused(f"{folder}: expected a run folder (with status.json and config.yaml), found none there")
    if at_work(folder):
        raise Refused(f"{folder} is at work; stop it first")
    return folder


def delete(folders: Sequence[Path], parts_of: Callable[[Path], Sequence[Path]], what: str, *, sure: bool) -> int:
    """Ask, and delete parts of runs.

    Args:
        parts_of: a run folder → the files and folders in it to delete, or the folder itself. It is asked again when the folder is locked,
            because the run may have gone on while the question waited.
        what: the parts, for the question.
        sure: do not ask.

    Raises:
        Refused: there is no terminal to ask on, or a run is at work.
        Failed: the file system refused.
    """
    parts = [part for folder in folders for part in parts_of(folder)]
    for folder in folders:
        print(f"{size(parts_of(folder)):>8}  {folder}")
    if not parts:
        print("there is nothing to delete")
        return 0
    if not sure and not agreed(f"delete {what}, {size(parts)}? [y/N] "):
        print("nothing was deleted")
        return 0
    freed = size(parts)
    for folder in folders:
        with hold(folder, "delete it when it has ended"):
            try:
                for part in parts_of(folder):
                    remove(part)
            except OSError as error:
                raise Failed(f"{error.filename or folder}: {error.strerror}; the rest was left") from error
    print(f"freed {freed}")
    return 0


def remove(part: Path) -> None:
    """Delete a file or a folder. A folder gets another name first: when this is interrupted, no half of a run is left in its place."""
    if not part.is_dir():
        part.unlink()
        return
    aside = part.with_name(f".{part.name}.deleted")
    shutil.rmtree(aside, ignore_errors=True)
    os.rename(part, aside)
    shutil.rmtree(aside)


def size(parts: Sequence[Path]) -> str:
    """Format the size of files and folders together. Links count as nothing."""
    files = [file for part in parts for file in (part.rglob("*") if part.is_dir() else [part])]
    return size_text(sum(file.lstat().st_size for file in files if file.is_file() and not file.is_symlink()))


def agreed(question: str) -> bool:
    """Ask on the terminal.

    Raises:
        Refused: there is no terminal to ask on.
    """
    if not sys.stdin.isatty():
        raise Refused("there is no terminal to ask on; --yes deletes without asking")
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False
