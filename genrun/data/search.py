"""Find the image files below a folder, and say what is left out."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from genrun.data.words import by_ending, plural, shown
from genrun.errors import Refused

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
ENDINGS = ", ".join(suffix.lstrip(".") for suffix in SUFFIXES)
# endings of pictures that Pillow does not open by itself; it knows the others
OTHER_PICTURES = {".heic", ".heif", ".jxl", ".svg", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".exr", ".hdr"}
# names of folders that programs put beside the user's own, besides those that begin with a point
MADE_BY_PROGRAMS = {"@eadir", "@recycle", "#recycle", "__macosx", "__pycache__", "$recycle.bin", "lost+found"}
MADE_BY_PROGRAMS |= {"system volume information"}

Steps = tuple[str, ...]  # the path of a file or folder from the folder that is searched: its steps


class Tree(NamedTuple):
    """What lies in a folder and below it, links included; hidden files and folders are left out."""

    images: list[Steps]  # files that genrun reads, by their endings, sorted
    others: list[Steps]  # all other files, sorted
    folders: list[Steps]  # all folders, the searched one () included, sorted
    left_out: list[str]  # what was left out, in words


def search(home: Path, option: str = "path") -> Tree:
    """Find all files below a folder.

    Args:
        option: the option of data.source that names the folder, for the error message.

    Raises:
        Refused: there is no image, a folder cannot be read, or an image is no regular file.
    """
    images: list[Steps] = []
    others: list[Steps] = []
    folders: list[Steps] = []
    hidden, loops = Counter(), []

    def enter(steps: Steps, above: frozenset[tuple[int, int]]) -> None:
        here = home.joinpath(*steps)
        try:
            stat = here.stat()
            with os.scandir(here) as entries:
                found = list(entries)
        except OSError as error:
            raise Refused(f"{shown(here)} cannot be read ({error.strerror}): make it readable or take it out") from None
        place = (stat.st_dev, stat.st_ino)
        if place in above:
            loops.append(f"{shown(here.name)}/ (a link to a folder that it lies in)")
            return
        folders.append(steps)
        for entry in found:
            path = (*steps, entry.name)
            if is_hidden(entry.name):
                count = _images_in(entry.path) if entry.is_dir() else int(is_image(entry.name))
                hidden[f"{shown(entry.name)}/" if entry.is_dir() else ""] += count
            elif entry.is_dir():
                enter(path, above | {place})
            elif is_image(entry.name):
                if not entry.is_file() and os.path.exists(entry.path):  # a pipe or device would be waited for
                    raise Refused(f"{shown(entry.path)} is not a regular file: take it out of the folder")
                images.append(path)
            else:
                others.append(path)

    enter((), frozenset())
    if not images:
        instead = f", found {by_ending(path[-1] for path in others)}" if others else ""
        raise Refused(
            f"{shown(home)} holds no images: expected files that end in {ENDINGS}{instead}; set data.source.{option}"
        )
    left_out = [
        f"{name} ({plural(count, 'image')}, hidden)" if name else plural(count, "hidden file")
        for name, count in sorted(hidden.items())
        if count
    ]
    if others:
        left_out.append(by_ending(path[-1] for path in others))
    return Tree(sorted(images), sorted(others), sorted(folders), left_out + loops)


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is no part of the user's data: its name begins with a point, or a program made it."""
    return name.startswith(".") or name.casefold() in MADE_BY_PROGRAMS


def is_image(name: str) -> bool:
    """Return whether genrun reads a file, by its ending."""
    return Path(name).suffix.lower() in SUFFIXES


def is_picture(path: Path) -> bool:
    """Return whether a file that genrun does not read is a picture: by its ending, or by its content if it has none."""
    if path.suffix:
        ending = path.suffix.lower()
        return (
            ending in OTHER_PICTURES or Image.registered_extensions().get(ending) in Image.OPEN
        )  # Pillow only writes PDF
    try:
        with Image.open(path):
            return True
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def _images_in(folder: str) -> int:
    return sum(is_image(file) for _, _, files in os.walk(folder) for file in files)
