"""The default source of a sweep's jobs: every combination of the values that its overrides list."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genrun.compat import combinations
from genrun.config.compose import explain, group_choices
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
        self.jobs = expand(overrides, config_dir)
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


def expand(overrides: list[str], config_dir: str | None = None) -> list[list[str]]:
    """Return the overrides of each job: one list for each combination of `a=1,2`, `b=range(3)` and `model=glob(v*)`.

    Args:
        config_dir: a folder of the user's own groups, from which `glob` chooses too.

    Raises:
        Refused: an override cannot be read.
    """
    parsed = parse_overrides(overrides, config_dir)
    for override in parsed:
        if override.is_sweep_override() and not override.is_discrete_sweep():
            raise Refused(
                f"{override.input_line}: a grid cannot list all its values; "
                "use hydra/sweeper=optuna to draw from it (without --dry-run)"
            )
    try:
        return combinations(parsed)
    except Exception as error:
        raise explain(error, overrides, config_dir) from error


def common_overrides(jobs: list[list[str]]) -> set[str]:
    """Return the overrides that all jobs share."""
    return set.intersection(*map(set, jobs))


def job_name(overrides: Sequence[str], fixed: set[str]) -> str:
    """Return the name of a job for the user: its overrides without the `fixed` ones, which all jobs share."""
    return " ".join(text for text in overrides if text not in fixed) or "the only job"


def parse_overrides(overrides: list[str], config_dir: str | None = None) -> list[Any]:
    """Parse overrides with Hydra's parser.

    Args:
        config_dir: a folder of the user's own groups, from which `glob` chooses too.

    Raises:
        Refused: an override cannot be read, or no choice of its group matches a `glob`.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import Glob

    groups = GroupChoices(group_choices(config_dir))
    try:
        parsed = OverridesParser.create(groups).parse_overrides(overrides)
    except Exception as error:
        raise explain(error, overrides, config_dir) from error
    for override in parsed:
        if isinstance(override.value(), Glob) and not list(override.sweep_string_iterator()):
            group = override.key_or_group
            there = f"there are {', '.join(groups.choices[group])}" if group in groups.choices else "it is no group"
            raise Refused(f"{override.input_line}: no choice of {group} matches; {there}")
    return parsed


class GroupChoices:
    """Tells Hydra's parser which choices each group has, for `glob`.

    Args:
        choices: the choices of each group.
    """

    def __init__(self, choices: dict[str, list[str]]) -> None:
        self.choices = choices

    def get_group_options(self, group_name: str, results_filter: Any = None) -> list[str]:
        return self.choices.get(group_name, [])
