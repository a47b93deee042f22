"""What the overrides of a sweep say: the engine, the search, and every combination of the values they list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genrun.cli import explain
from genrun.sweeps.jobs import Outcome


class Grid:
    """`a=1,2 b=range(3)`: six jobs, the last option turning fastest."""

    def begin(self, overrides: list[str], folder: Path, config_dir: str | None) -> list[tuple[list[str], Outcome]]:
        """Take the sweep's overrides.

        Returns:
            Jobs of earlier times that are not asked for again, and what became of them.

        Raises:
            Refused: an override cannot be read.
        """
        self.jobs = expand(overrides)
        self.size, self.fixed = len(self.jobs), in_all(self.jobs)
        return []

    def ask(self, number: int) -> list[str] | None:
        """The overrides of job `number`, asked for one after another; None: there is none left, or none before another has ended."""
        return self.jobs[number] if number < len(self.jobs) else None

    def watch(self, number: int) -> None:
        """What lets the search see the epochs of a job: nobody does."""

    def tell(self, number: int, outcome: Outcome) -> None:
        """Hear of a job's outcome."""

    def end(self) -> list[str]:
        """What is to be said at the end."""
        return []


def expand(overrides: list[str]) -> list[list[str]]:
    """The jobs of a sweep: one list of overrides for each combination of `a=1,2` and `b=range(3)`.

    Raises:
        Refused: an override cannot be read.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    try:
        return BasicSweeper.split_arguments(parsed(overrides), max_batch_size=None)[0]
    except Exception as error:
        raise explain(error, overrides) from error


def in_all(jobs: list[list[str]]) -> set[str]:
    """The overrides that tell no job from another."""
    return set.intersection(*map(set, jobs)) if len(jobs) > 1 else set()


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
