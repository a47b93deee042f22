"""What the overrides of a sweep say: every combination of the values they list."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genrun.compat import combinations
from genrun.config.compose import explain
from genrun.errors import Refused
from genrun.sweeps.jobs import Outcome


class Grid:
    """`a=1,2 b=range(3)`: six jobs, the last option turning fastest."""

    stable = True  # a job has the same number whenever the sweep is given
    named: tuple[str, ...] = ()  # what the sweep's name is made of besides its overrides

    def begin(self, overrides: list[str], folder: Path, config_dir: str | None) -> list[tuple[int, list[str], Outcome]]:
        """Take the sweep's overrides.

        Returns:
            Jobs of earlier times that are not asked for again: number, overrides and what became of each.

        Raises:
            Refused: an override cannot be read.
        """
        self.jobs = expand(overrides)
        self.size, self.fixed, self.asked = len(self.jobs), in_all(self.jobs), 0
        return []

    def ask(self) -> tuple[int, list[str]] | None:
        """Number and overrides of the next job; None: there is none left, or none before another has ended."""
        if self.asked == self.size:
            return None
        self.asked += 1
        return self.asked - 1, self.jobs[self.asked - 1]

    def watch(self, number: int) -> None:
        """What lets the search see the epochs of a job: nobody does."""

    def tell(self, number: int, outcome: Outcome) -> Outcome:
        """Hear of a job's outcome; what is to be kept of it."""
        return outcome

    def summary(self) -> list[str]:
        """Return the lines to print at the end."""
        return []


def expand(overrides: list[str]) -> list[list[str]]:
    """The jobs of a sweep: one list of overrides for each combination of `a=1,2` and `b=range(3)`.

    Raises:
        Refused: an override cannot be read.
    """
    words = parsed(overrides)
    for word in words:
        if word.is_sweep_override() and not word.is_discrete_sweep():
            raise Refused(
                f"{word.input_line}: without end as a list of jobs; hydra/sweeper=optuna draws from it, without --dry-run"
            )
    try:
        return combinations(words)
    except Exception as error:
        raise explain(error, overrides) from error


def in_all(jobs: list[list[str]]) -> set[str]:
    """The overrides that tell no job from another."""
    return set.intersection(*map(set, jobs))


def described(overrides: Sequence[str], fixed: set[str]) -> str:
    """What tells a job from the others."""
    return " ".join(text for text in overrides if text not in fixed) or "the only job"


def parsed(overrides: list[str]) -> list[Any]:
    """Hydra's reading of overrides.

    Raises:
        Refused: one cannot be read.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    try:
        return OverridesParser.create().parse_overrides(overrides)
    except Exception as error:
        raise explain(error, overrides) from error
