"""How far something is: a bar where someone watches, a line where nobody does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")


def counted(parts: Iterable[T], total: int, what: str, console: Console) -> Iterator[T]:
    """The parts, with a bar where someone watches and a line where nobody does."""
    if console.is_terminal:
        return track(parts, what, total=total, console=console, transient=True)
    console.print(what, highlight=False)
    return iter(parts)
