"""`genrun explain model=vae`: every option of a composed configuration, with what its YAML says of it, its value and its type."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from genrun.errors import printable
from genrun.system.console import print_json, screen
from genrun.verbs.arguments import Arguments

if TYPE_CHECKING:
    from genrun.config.explain import Option, Section

WIDEST = 100  # columns: longer lines are hard to read
ALIKE = 0.5  # share of the words of two texts that are the same


def main(arguments: list[str]) -> int:
    """Print the options."""
    parser = Arguments(
        "genrun explain",
        description="Explain the options of a run: genrun explain model=vae data=mnist. FILTER is an option, a part of its name or a "
        "section: genrun explain model=vae trainer.max_epochs, genrun explain model.prior.",
    )
    parser.add_argument("words", nargs="*", metavar="option=value | FILTER")
    parser.add_argument("--config-dir", help="a folder of your own groups")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_intermixed_args(arguments)

    from genrun.config.explain import explain, narrowed

    given = [word for word in asked.words if "=" in word or word.startswith("~")]
    sections = explain(given, asked.config_dir)
    if filters := [word for word in asked.words if word not in given]:
        sections = narrowed(sections, filters, asked.config_dir)
    if asked.json:
        described = [dataclasses.asdict(option) | {"section": one.name} for one in sections for option in one.options]
        print_json(described)
        return 0
    console = screen()
    for place, section in enumerate(sections):
        if place:
            console.print()
        print_section(section, console)
    return 0


def print_section(section: Section, console: Console) -> None:
    """Print a section: what was chosen for it, the class, and each option with its value, its type, and what is said of it."""
    width = min(WIDEST, console.width)
    chosen = f"{section.name.replace('.', '/')}={section.choice}" if section.choice else section.name
    head = Text.assemble((chosen, "bold"), f"  {section.target}" if section.target else "")
    put(console, head)
    for text in (section.about, f"also: {', '.join(section.others)}" if section.choice and section.others else ""):
        for line in wrapped(text, width, 2):
            put(console, Text(line, "dim"))
    for option in section.options:
        put(console, Text())
        put(console, heading(option, width))
        for line in wrapped("" if repeated(option) else option.about, width, 4):
            put(console, Text(line))
        for comment in option.comments:
            for line in wrapped(comment, width, 4, "# "):
                put(console, Text(line, "dim"))


def repeated(option: Option) -> bool:
    """Return whether a comment says about what the docstring says."""
    about = option.about.lower().split()
    return any(SequenceMatcher(None, about, comment.lower().split()).ratio() > ALIKE for comment in option.comments)


def heading(option: Option, width: int) -> Text:
    """Return the line of an option: `key = value`, and the type at its right, or below it if the line is full."""
    value = (
        "null"
        if option.value is None
        else json.dumps(option.value, ensure_ascii=False)
        if not isinstance(option.value, str)
        else option.value
    )
    left = printable(f"{option.key} = {value}")
    left = left if len(left) <= width else f"{left[: width - 1]}…"
    right = f"{option.type}{' (given)' if option.given else ''}"
    gap = width - len(left) - len(right)
    text = Text.assemble((option.key, "bold"), left.removeprefix(option.key))
    return text.append(" " * gap if gap >= 2 else f"\n{' ' * max(4, width - len(right))}").append(right, "cyan")


def wrapped(text: str, width: int, indent: int, mark: str = "") -> list[str]:
    """Break a text into lines with this indent, each with a mark before it."""
    space = f"{' ' * indent}{mark}"
    return textwrap.wrap(printable(text), width, initial_indent=space, subsequent_indent=space, break_on_hyphens=False)


def put(console: Console, text: Text) -> None:
    """Print a line as it is: rich must not break it again."""
    console.print(text, soft_wrap=True, highlight=False)
