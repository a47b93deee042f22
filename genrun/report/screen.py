"""Tables that fit the screen: nothing is cut, and numbers are never split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

GAP = 2  # columns of the screen between two columns of a table
LEAST_NAME, LEAST_NOTE = 20, 24  # columns of the screen: names and notes are not folded at less
COLOURS = {"real": "green", "good": "green", "bad": "red"}  # of cells among the values that are such a word
LONG_WORD = 14  # longer words of headings and names may be folded


@dataclass
class ScreenTable:
    """A table as wide as the screen allows, with its first columns left-aligned, notes in the last one, and numbers in those between.

    If there is too little room for notes at the side, each note stands below its line; within a group with a heading, below the last of
    several lines in a row that have the same one. Columns that do not fit beside each other come below the others, with the first
    columns again.

    Args:
        title: above the table; None: no title.
        headings: of the columns.
        lines: the cells of each line.
        keys: number of the first columns, which name a line.
        heads: place of a line → heading of the group of lines that begins there.
    """

    title: str | None
    headings: Sequence[str]
    lines: Sequence[Sequence[str]]
    keys: int = 1
    heads: Mapping[int, str] = field(default_factory=dict)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        indent = Text(" " * GAP if self.heads else "")
        width = options.max_width - len(indent)
        columns = list(zip(self.headings, *self.lines, strict=True))
        keys, values, notes = columns[: self.keys], columns[self.keys : -1], columns[-1]
        wide = [max(longest_word(heading), *map(cell_len, cells), 0) for heading, *cells in values]
        key_widths = fitted(keys, width, wide)
        blocks = in_blocks(wide, width - total(key_widths))
        left = width - total(key_widths) - sum(wide) - GAP * (len(wide) + 1)
        longest_note = max(map(cell_len, notes))
        beside = len(blocks) == 1 and left >= min(LEAST_NOTE, longest_note)
        if self.title:
            yield from Text(self.title, style="italic").wrap(console, options.max_width, overflow="fold")
        for number, block in enumerate(blocks):
            if number:
                yield Text()
            shown = [*keys, *(values[k] for k in block)]
            widths = [*key_widths, *(min(wide[k], width) for k in block)]
            sides = ["left"] * len(keys) + ["right"] * len(block)
            if beside and longest_note:
                shown, widths, sides = [*shown, notes], [*widths, min(left, longest_note)], [*sides, "left"]
            for line, cells in enumerate(zip(*shown, strict=True)):
                if line - 1 in self.heads:
                    yield Text()
                    yield from Text(self.heads[line - 1], style="bold").wrap(console, width, overflow="fold")
                texts = [
                    Text(cell, style="bold" if not line else "dim" if column is notes else COLOURS.get(cell, ""))
                    for cell, column in zip(cells, shown, strict=True)
                ]
                yield from (indent + part for part in side_by_side(console, texts, widths, sides))
                again = notes[line] == (notes[line + 1] if line + 1 < len(notes) else None) and line not in self.heads
                if not beside and number == len(blocks) - 1 and line and notes[line] and not (self.heads and again):
                    for part in Text(notes[line], style="dim").wrap(console, width - 2 * GAP, overflow="fold"):
                        yield indent + Text(" " * 2 * GAP) + part


@dataclass
class JobTable:
    """A list of jobs: the name, the run folder and the state of each, in three columns or, on a narrow screen, below each other.

    Args:
        lines: name, run folder and state of each job.
    """

    lines: Sequence[Sequence[str]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = [("job", "run", "state"), *self.lines]
        if total([max(map(cell_len, column)) for column in zip(*lines, strict=True)]) <= options.max_width:
            shown = Table(*lines[0], box=None, pad_edge=False)
            for line in self.lines:
                shown.add_row(*map(Text, line))
            yield shown
            return
        for name, *rest in self.lines:
            yield from Text(name).wrap(console, options.max_width, overflow="fold")
            for part in filter(None, rest):
                for line in Text(part).wrap(console, options.max_width - GAP, overflow="fold"):
                    yield Text(" " * GAP) + line


def total(widths: Sequence[int]) -> int:
    """Return the width of columns with the gaps between them."""
    return sum(widths) + GAP * (len(widths) - 1)


def longest_word(text: str) -> int:
    """Return the width of the longest word; a very long one may be folded."""
    return min(LONG_WORD, max(map(cell_len, text.split()), default=0))


def fitted(keys: Sequence[Sequence[str]], width: int, wide: Sequence[int]) -> list[int]:
    """Return the widths of the first columns: narrower if that makes room for all values, at most half of the screen otherwise.

    Args:
        keys: heading and cells of each of these columns.
        width: of the screen.
        wide: the widths of the columns of values.
    """
    widths = [max(map(cell_len, column)) for column in keys]
    least = [max(map(longest_word, column)) for column in keys]
    room = width - sum(wide) - GAP * len(wide)
    if room < min(total(widths), LEAST_NAME * len(keys)):
        room = min(width // 2, width - max(wide, default=0) - GAP)
    while total(widths) > room:
        spare = [one - few for one, few in zip(widths, least, strict=True)]
        if not any(spare):
            break
        widths[spare.index(max(spare))] -= 1
    return widths


def in_blocks(wide: Sequence[int], room: int) -> list[list[int]]:
    """Return the columns of each block: as many as fit into the room beside the first columns, but one at least."""
    blocks: list[list[int]] = [[]]
    left = room
    for k, one in enumerate(wide):
        if blocks[-1] and one + GAP > left:
            blocks.append([])
            left = room
        blocks[-1].append(k)
        left -= one + GAP
    return blocks


def side_by_side(
    console: Console, texts: Sequence[Text], widths: Sequence[int], sides: Sequence[str]
) -> Iterator[Text]:
    """Fold each text at its width and yield the lines of all of them beside each other."""
    folded = [
        text.wrap(console, width, justify=side, overflow="fold") or [Text()]
        for text, width, side in zip(texts, widths, sides, strict=True)
    ]
    for parts in zip_longest(*folded, fillvalue=Text()):
        line = Text()
        for place, (part, width) in enumerate(zip(parts, widths, strict=True)):
            line += part
            if place < len(parts) - 1:
                line.append(" " * (width - part.cell_len + GAP))
        line.rstrip()
        yield line
