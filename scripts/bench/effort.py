"""How much is measured: all of it, the important rows in two minutes, or only whether every row can be measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Effort:
    """How much a subject measures.

    Args:
        pairs: how often both sides are measured, in turn.
        share: of the images, particles, runs, … of the whole bench.
        important: whether to measure the important rows only.
        run: folder of a trained run of ReGene, for the time of its accepted generations; None: leave this row out.
    """

    pairs: int = 5
    share: float = 1.0
    important: bool = False
    run: str | None = None

    def count(self, whole: int, least: int = 1) -> int:
        """Return the share of a number of images, particles, …, at least `least`."""
        return min(whole, max(least, round(self.share * whole)))

    def sizes(self, *sizes: T) -> tuple[T, ...]:
        """Return the sizes of a scaling row: all of them, or the smallest two."""
        return sizes if self.share == 1 else sizes[:2]


WHOLE = Effort()
QUICK = Effort(pairs=2, share=0.25, important=True)
TINY = Effort(pairs=1, share=0.005)
