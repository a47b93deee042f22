"""Complete the words of a verb for the shell: runs, flags, and the choices of groups. Hydra completes the options of a run."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from importlib import resources

from genrun.errors import Refused
from genrun.runs.summary import is_current
from genrun.verbs import VERBS, main_of
from genrun.verbs.arguments import outputs_folder
from genrun.verbs.help import choices


def complete(line: str) -> bool:
    """Print the words that may stand at the end of a command line, one a line.

    Args:
        line: the command line up to the cursor, which begins with the program's name.

    Returns:
        Whether these are all; without a verb Hydra adds the options of a run.
    """
    words = line.split()[1:]
    last = words.pop() if words and not line.endswith(" ") else ""
    has_verb = bool(words) and words[0] in VERBS
    for word in words_of_verb(words, last) if has_verb else fitting(last, VERBS) if not words else []:
        print(word)
    return has_verb


def words_of_verb(words: Sequence[str], last: str) -> list[str]:
    """Return the words that complete the last one, behind a verb and other words."""
    if last.startswith("-"):
        return fitting(last, re.findall(r"--[a-z][a-z-]*", help_of(words[0])))
    groups: dict[str, list[str]] = {}
    for group, choice in choices(resources.files("genrun.conf")):
        groups.setdefault(group, []).append(choice)
    group, equals, _ = last.partition("=")
    if equals:
        return fitting(last, [f"{group}={choice}" for choice in sorted(groups.get(group, []))])
    runs = [*run_names(words), "last", "best"] if re.search(r"\b(RUN|FILTER)", help_of(words[0])) else []
    return fitting(last, runs) or fitting(last, [f"{group}=" for group in sorted(groups)])


def fitting(begin: str, words: Sequence[str]) -> list[str]:
    return [word for word in dict.fromkeys(words) if word.startswith(begin)]


def run_names(words: Sequence[str]) -> list[str]:
    """Return the names of all run folders below the folder of outputs that the words name."""
    _, outputs = outputs_folder(words)
    return sorted(file.parent.name for file in outputs.glob("*/*/status.json") if is_current(file.parent))


def help_of(verb: str) -> str:
    """Return what `--help` of a verb prints."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit, Refused):
        main_of(verb)(["--help"])
    return text.getvalue()
