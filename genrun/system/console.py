"""Show the user what a run is doing."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console

T = TypeVar("T")


def screen() -> Console:
    """Return the terminal as a console or, without a terminal, a console with lines wide enough for a table."""
    return Console() if sys.stdout.isatty() else Console(width=120)


def say(console: Console, text: str) -> None:
    """Print a line unchanged: no markup, no colours, and no line breaks added by rich."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def with_progress(parts: Iterable[T], total: int, what: str, console: Console) -> Iterator[T]:
    """Yield the parts and show the progress: a bar on a terminal, one line elsewhere."""
    if console.is_terminal:
        from rich.progress import track

        return track(parts, what, total=total, console=console, transient=True)
    console.print(what, highlight=False)
    return iter(parts)
