"""Show the user what a run is doing."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from genrun.errors import printable

T = TypeVar("T")
WIDTH = 120  # columns where there is no terminal
log = logging.getLogger("genrun")


class Screen(Console):
    """A console that writes out the characters that a terminal would obey, wherever a text has them: in names, titles and errors."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def screen(*, error: bool = False) -> Console:
    """Return the terminal as a console or, without a terminal, a console as wide as $COLUMNS says, or wide enough for a table.

    Args:
        error: whether to write to stderr instead of stdout.
    """
    if (sys.stderr if error else sys.stdout).isatty():
        return Screen(stderr=error)
    columns = os.environ.get("COLUMNS", "")
    return Screen(stderr=error, width=int(columns) if columns.isdecimal() and int(columns) else WIDTH)


def say(console: Console, text: str) -> None:
    """Print a line unchanged, with no markup, no colours and no line breaks added by rich; in a run, log.txt has it too."""
    log.info("%s", text.strip())
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def print_json(content: Any) -> None:
    """Print JSON for a program; if a text in it has characters that a terminal would obey, all but ASCII is written out."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    print(text if printable(text) == text else json.dumps(content, indent=2))


def with_progress(
    parts: Iterable[T], total: int, what: str, console: Console, name: Callable[[T], str] | None = None
) -> Iterator[T]:
    """Yield the parts and show the progress: a bar on a terminal, one line elsewhere and in a run's log.txt.

    Args:
        name: what the bar says about the part that is in work, after `what`; None: nothing.
    """
    if not console.is_terminal:
        say(console, what)
        return iter(parts)
    log.info("%s", what)
    return _with_bar(parts, total, what, console, name)


def _with_bar(
    parts: Iterable[T], total: int, what: str, console: Console, name: Callable[[T], str] | None
) -> Iterator[T]:
    """Yield the parts and show a bar."""
    from rich.progress import Progress

    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(what, total=total)
        for part in parts:
            if name is not None:
                bar.update(task, description=f"{what}: {name(part)}", refresh=True)
            yield part
            bar.advance(task)


def duration(seconds: float) -> str:
    """Format a duration: 12 s, 3 min, 4.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size_text(size: float) -> str:
    """Format a number of bytes: 999 B, 12.3 MB, 1.5 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
