"""What the user sees of a run while it works."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")


def screen() -> Console:
    """Return the terminal, or a console with lines wide enough for a table where there is no terminal."""
    return Console() if sys.stdout.isatty() else Console(width=120)


def say(console: Console, text: str) -> None:
    """Print a line as it is: no markup, no colours, no line breaks of rich's own."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def with_progress(parts: Iterable[T], total: int, what: str, console: Console) -> Iterator[T]:
    """Yield the parts, and show how far they are: a bar on a terminal, one line elsewhere."""
    if console.is_terminal:
        return track(parts, what, total=total, console=console, transient=True)
    console.print(what, highlight=False)
    return iter(parts)
