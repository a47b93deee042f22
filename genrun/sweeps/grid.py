"""What the overrides of a sweep say: the engine, the search, and every combination of the values they list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genrun.cli import explain
from genrun.sweeps.jobs import Outcome


class Grid:
    """`a=1,2 b=range(3)`: six jobs, the last option turning fastest."""

    watch = None  # nobody looks at the epochs

    def begin(self, overrides: list[str], folder: Path) -> None:
        """Take the sweep's overrides.

        Raises:
            Refused: one cannot be read.
        """
        self.jobs = expand(overrides)
        self.size: int | None = len(self.jobs)

    def ask(self, number: int) -> list[str] | None:
        """The overrides of job `number`, asked for one after another; None: there is none left, or none before another has ended."""
        return self.jobs[number] if number < len(self.jobs) else None

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
