"""What a reproduction expects: the runs of a document's method, and each number and claim of the document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

HELD, NOT_HELD = "held", "did not hold"


@dataclass(frozen=True)
class ExpectedRun:
    """A run of a reproduction, with each of its seeds.

    Args:
        name: by which rows name it.
        words: of its command; for a refit, besides those of the run that it refits.
        seeds: of its command.
        minutes: of training with one seed, on two idle cores.
        refits: the run whose networks it takes, for another prior.
        on_request: why it is not part of the target; empty if it is.
        hardware: where the expected values were measured.
        commit: with which version of genrun.
    """

    name: str
    words: tuple[str, ...]
    seeds: tuple[int, ...]
    minutes: float
    refits: str | None = None
    on_request: str = ""
    hardware: str = ""
    commit: str = ""


@dataclass(frozen=True)
class Quantity:
    """Where a number is found in finished runs.

    Args:
        run: the name of the run.
        metric: a row of its results.json, or a column of its metrics.csv.
        epoch: the epoch, for a column; None: the last.
        real: what real images get instead of the samples.
    """

    run: str
    metric: str
    epoch: int | None = None
    real: bool = False


@dataclass(frozen=True)
class Number:
    """A number of the document, or of genrun alone.

    Args:
        text: what it is.
        source: where the document has it.
        quantity: where ours is found.
        values: ours, for each seed; empty: not measured yet.
        published: the document's value with its protocol.
        differs: why ours and the document's differ.
        of_machine: whether it depends on the machine, such as seconds, so that it is shown and not compared.
    """

    text: str
    source: str
    quantity: Quantity
    values: tuple[float, ...]
    published: str = ""
    differs: str = ""
    of_machine: bool = False


@dataclass(frozen=True)
class Claim:
    """A sentence of the document that two numbers decide: left < right / factor - margin, or left > right · factor + margin.

    Args:
        text: the sentence.
        source: where the document has it.
        left: a number.
        below: whether it must be below the right one, or above.
        right: a number.
        factor: how many times smaller the left must be, or larger.
        margin: by how much it must be below, or above.
        expected: whether it held before.
        published: what the document has for it.
        differs: why it differs from the document.
        of_machine: whether it depends on the machine, such as seconds, so that the target does not fail by it.
    """

    text: str
    source: str
    left: Quantity
    below: bool
    right: Quantity | float
    factor: float
    margin: float
    expected: bool
    published: str = ""
    differs: str = ""
    of_machine: bool = False


@dataclass(frozen=True)
class Untested:
    """A sentence of the document that cannot be tested here, why, and what there is instead."""

    text: str
    source: str
    reason: str
    evidence: str = ""
    published: str = ""
    differs: str = ""


@dataclass(frozen=True)
class ExpectedFigure:
    """A figure of a run that stands beside one of the document.

    Args:
        source: the document's figure.
        shows: what that one shows.
        run: the run.
        file: ours, in the run's folder.
        beside: what is seen on ours, beside the document's.
    """

    source: str
    shows: str
    run: str
    file: str
    beside: str = ""


@dataclass(frozen=True)
class Expectations:
    """All that a target expects.

    Args:
        name: of the target.
        document: the document's title, author and year.
        runs: by name.
        rows: in the order of the document.
        figures: in the order of the document.
        miniature: words that make every run tiny.
    """

    name: str
    document: str
    runs: Mapping[str, ExpectedRun]
    rows: tuple[Number | Claim | Untested, ...]
    figures: tuple[ExpectedFigure, ...]
    miniature: tuple[str, ...]

    def words(self, run: str) -> tuple[str, ...]:
        """Return all words of a run, but for its seed."""
        expected = self.runs[run]
        return (*(self.words(expected.refits) if expected.refits else ()), *expected.words)

    def minutes(self) -> float:
        """Return the minutes of all runs that are part of the target, each seed one after the other on two idle cores."""
        return sum(run.minutes * len(run.seeds) for run in self.runs.values() if not run.on_request)
