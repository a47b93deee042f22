"""One file a verb: `genrun sample` is genrun/verbs/sample.py."""

from __future__ import annotations

import importlib
from collections.abc import Callable

VERBS = (
    *("compare", "doctor", "evaluate", "explain", "explore", "export", "figures", "import", "list", "new"),
    *("prune", "refit", "report", "reproduce", "rm", "sample", "show"),
)


def main_of(verb: str) -> Callable[[list[str]], int]:
    """Return the function that a verb starts: it takes the words behind the verb and returns the exit status."""
    # `import` is a word of Python, which cannot be the name of a module
    return importlib.import_module(f"genrun.verbs.{'import_' if verb == 'import' else verb}").main
