"""Show the user what a run is doing."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from genrun.errors import printable

T = TypeVar("T")


class Screen(Console):
    """A console that writes out the characters that a terminal would obey, wherever a text has them: in names, titles and errors."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def screen() -> Console:
    """Return the terminal as a console or, without a terminal, a console with lines wide enough for a table."""
    return Screen() if sys.stdout.isatty() else Screen(width=120)


def say(console: Console, text: str) -> None:
    """Print a line unchanged: no markup, no colours, and no line breaks added by rich."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def with_progress(parts: Iterable[T], total: int, what: str, console: Console) -> Iterator[T]:
    """Yield the parts and show the progress: a bar on a terminal, one line elsewhere."""
    if console.is_terminal:
        from rich.progress import track

        return track(parts, what, total=total, console=console, transient=True)
    say(console, what)
    return iter(parts)
