"""Words for messages about data: names as they can be printed, counts, and lists that are cut short."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from genrun.errors import Refused

MOST = 3  # things that a list names; the others are counted


def shown(name: str | Path) -> str:
    """Return a name as it can be printed: bytes that are not UTF-8 and control characters are written as \\x…"""
    text = os.fspath(name).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def place_of(path: str, option: str) -> Path:
    """Return the path that an option names.

    Raises:
        Refused: its name is not UTF-8, so that the files of the run could not hold it.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        raise Refused(
            f"{option}: {shown(path)} is not UTF-8: rename it, or give a link to it with another name"
        ) from None
    return Path(path).expanduser()


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: `1 image`, `2,000 images`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}{'es' if noun.endswith('ss') else 's'}"


def few(things: Sequence[str]) -> str:
    """Return a list in words; if it is long, its beginning and the number of the others."""
    shortened = things if len(things) <= MOST + 1 else [*things[:MOST], f"{len(things) - MOST:,} more"]
    return ", ".join(shortened)


def by_ending(files: Iterable[str]) -> str:
    """Return how many files there are of each ending, such as `8 .gif, 1 .txt`."""
    counts = Counter(Path(file).suffix.lower() for file in files)
    return few([f"{count:,} {shown(ending) or 'without an ending'}" for ending, count in counts.most_common()])
