"""Read what a request asks for: texts by name, each checked before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from genrun.errors import Refused, nearest

MOST_SEEDS = 2**31


class Asked:
    """The parameters of a request.

    Args:
        words: name → text, as the page sent it. An empty text is the same as none.
    """

    def __init__(self, words: Mapping[str, str]) -> None:
        self.words = {name: text for name, text in words.items() if text}

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        """Return a whole number from `least` to `most`.

        Raises:
            Refused: it is another text or outside.
        """
        text = self.words.get(name, str(default))
        if not (text.isascii() and text.isdecimal() and len(text) < 12 and least <= int(text) <= most):
            raise Refused(f"{name}: expected a whole number from {least} to {most}, got {text[:40]!r}")
        return int(text)

    def real(self, name: str, default: float, most: float) -> float:
        """Return a number from -`most` to `most`.

        Raises:
            Refused: it is another text or outside.
        """
        text = self.words.get(name, str(default))
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not -most <= value <= most:
            raise Refused(f"{name}: expected a number from {-most:g} to {most:g}, got {text[:40]!r}")
        return value

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """Return one of the choices, the first one by default.

        Raises:
            Refused: it is another text.
        """
        text = self.words.get(name, choices[0])
        if text not in choices:
            raise Refused(
                f"{name}: expected one of {', '.join(choices)}, got {text[:40]!r}{nearest(text[:40], choices)}"
            )
        return text

    def seed(self) -> int:
        """Return the seed of the random numbers."""
        return self.whole("seed", 0, 0, MOST_SEEDS - 1)
