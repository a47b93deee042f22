"""Find classes by their names or their numbers."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from genrun.data.words import few
from genrun.errors import Refused, nearest


def numbers_of(words: Iterable[str | int], names: Sequence[str], option: str) -> list[int]:
    """Return the number of each class that is given by its name or number.

    A name comes first: where the classes are 1, 2 and 3, 1 is the class of this name, which is the first and has the number 0.

    Args:
        words: names, or numbers 0, 1, … in the order of the names.
        names: the names of all classes.
        option: the option that gave the words, for the error message.

    Raises:
        Refused: there is no such class.
    """
    known = {_composed(name): number for number, name in enumerate(names)}
    found = []
    for word in words:
        text = _composed(str(word).strip())
        number = known.get(text, int(text) if text.isascii() and text.isdecimal() else -1)
        if isinstance(word, bool) or not 0 <= number < len(names):
            hint = "" if text.isdecimal() else nearest(text, names)
            raise Refused(f"{option}: there is no class {word!r}{hint}; the classes are {numbered(names)}")
        found.append(number)
    return found


def numbered(names: Sequence[str]) -> str:
    """Return the classes in words: their numbers, and their names where these differ."""
    words = [f"{number} {name}" if name != str(number) else name for number, name in enumerate(names)]
    return ", ".join(words) if len(words) <= 12 else f"{few(words)}; the last is {words[-1]}"


def _composed(name: str) -> str:
    """Return a name with composed letters: some systems write ü as two characters, others as one."""
    return unicodedata.normalize("NFC", name)
