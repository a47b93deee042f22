"""The default source of a sweep's jobs: every combination of the values that its overrides list."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genrun.compat import combinations
from genrun.config.compose import explain
from genrun.errors import Refused
from genrun.sweeps.jobs import Outcome


class Grid:
    """Every combination of the listed values: `a=1,2 b=range(3)` gives six jobs. The last option changes fastest."""

    stable_numbers = True  # a job has the same number each time that the sweep is started
    name_parts: tuple[str, ...] = ()  # enter the sweep's name, besides its overrides

    def begin(self, overrides: list[str], folder: Path, config_dir: str | None) -> list[tuple[int, list[str], Outcome]]:
        """Read the overrides of the sweep.

        Returns:
            Jobs of earlier starts that are not run again: the number, overrides and outcome of each. A grid has none.

        Raises:
            Refused: an override cannot be read.
        """
        self.jobs = expand(overrides)
        self.size, self.fixed, self.asked = len(self.jobs), common_overrides(self.jobs), 0
        return []

    def ask(self) -> tuple[int, list[str]] | None:
        """Return the number and the overrides of the next job; None when there is no job now.

        A search may have one again after another job has ended.
        """
        if self.asked == self.size:
            return None
        self.asked += 1
        return self.asked - 1, self.jobs[self.asked - 1]

    def reporter(self, number: int) -> None:
        """Return what reports the epochs of a job to a search. A grid needs no reports."""

    def tell(self, number: int, outcome: Outcome) -> Outcome:
        """Take the outcome of a job, and return the outcome to record."""
        return outcome

    def summary(self) -> list[str]:
        """Return the lines to print at the end."""
        return []


def expand(overrides: list[str]) -> list[list[str]]:
    """Return the overrides of each job: one list for each combination of `a=1,2` and `b=range(3)`.

    Raises:
        Refused: an override cannot be read.
    """
    parsed = parse_overrides(overrides)
    for override in parsed:
        if override.is_sweep_override() and not override.is_discrete_sweep():
            raise Refused(
                f"{override.input_line}: a grid cannot list all its values; "
                "use hydra/sweeper=optuna to draw from it (without --dry-run)"
            )
    try:
        return combinations(parsed)
    except Exception as error:
        raise explain(error, overrides) from error


def common_overrides(jobs: list[list[str]]) -> set[str]:
    """Return the overrides that all jobs share."""
    return set.intersection(*map(set, jobs))


def job_name(overrides: Sequence[str], fixed: set[str]) -> str:
    """Return the name of a job for the user: its overrides without the `fixed` ones, which all jobs share."""
    return " ".join(text for text in overrides if text not in fixed) or "the only job"


def parse_overrides(overrides: list[str]) -> list[Any]:
    """Parse overrides with Hydra's parser.

    Raises:
        Refused: an override cannot be read.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    try:
        return OverridesParser.create().parse_overrides(overrides)
    except Exception as error:
        raise explain(error, overrides) from error
