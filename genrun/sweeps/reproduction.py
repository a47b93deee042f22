"""The jobs of reproductions: the runs that their expectations name, each with its seeds, a refit after the run that it refits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genrun.report.expectations import Expectations, ExpectedRun
from genrun.sweeps.jobs import Outcome
from genrun.sweeps.sweep import HYDRA_PREFIXES


@dataclass(frozen=True)
class ExpectedJob:
    """A run of a target with one seed.

    Args:
        target: its expectations.
        run: the run.
        seed: its seed.
        added: words of the command line, which come last.
    """

    target: Expectations
    run: ExpectedRun
    seed: int
    added: tuple[str, ...]

    @property
    def overrides(self) -> list[str]:
        """The overrides of its configuration, but for `run.refit_of`."""
        return [*self.target.words(self.run.name), f"seed={self.seed}", *self.added]

    @property
    def parent(self) -> ExpectedJob | None:
        """The job whose run this one refits; None for a run that is trained."""
        if self.run.refits is None:
            return None
        return ExpectedJob(self.target, self.target.runs[self.run.refits], self.seed, self.added)


def jobs_of(target: Expectations, added: Sequence[str], *, on_request: bool) -> list[ExpectedJob]:
    """Return the jobs of a target, each refit behind the run that it refits.

    Args:
        added: words that are added to those of each run.
        on_request: with the runs that are not part of the target.
    """
    chosen = [run for run in target.runs.values() if on_request or not run.on_request]
    ordered = sorted(chosen, key=lambda run: run.refits is not None)
    # how the jobs are started is nothing of the runs, whose commands are given again without it
    of_runs = tuple(word for word in added if not word.lstrip("+~").startswith((*HYDRA_PREFIXES, "sweep.")))
    return [ExpectedJob(target, run, seed, of_runs) for run in ordered for seed in run.seeds]


def miniature_of(target: Expectations, added: Sequence[str]) -> list[ExpectedJob]:
    """Return the first job of a target and its first refit, made tiny.

    Args:
        added: words that are added to those of the miniature.
    """
    first, *others = jobs_of(target, [*target.miniature, *added], on_request=False)
    return [first, *[job for job in others if job.parent == first][:1]]


class Reproduction:
    """The source of the jobs of one or several targets. Jobs with the same overrides are one job.

    Args:
        jobs: see `jobs_of`; those of all targets, one after the other.
    """

    stable_numbers = True  # the same command has the same jobs

    def __init__(self, jobs: Sequence[ExpectedJob]) -> None:
        self.jobs = list({tuple(job.overrides): job for job in jobs}.values())
        self.size = len(self.jobs)
        self.fixed = {word for job in jobs for word in job.added}  # what a list of the jobs need not repeat
        self.waiting = list(range(self.size))
        self.given_up: list[ExpectedJob] = []  # refits of runs that are not done
        self.outcomes: dict[tuple[str, ...], Outcome] = {}  # by overrides

    def ask(self) -> tuple[int, list[str]] | None:
        """Return the number and the overrides of the next job; None when there is none, or each one waits for the run that it refits.

        A refit of a run that failed is not a job.
        """
        for number in list(self.waiting):
            job = self.jobs[number]
            if job.parent is None:
                self.waiting.remove(number)
                return number, job.overrides
            if outcome := self.outcomes.get(tuple(job.parent.overrides)):
                self.waiting.remove(number)
                if outcome.state == "done":
                    quoted = outcome.run.replace("'", "\\'")
                    return number, [*job.overrides, f"run.refit_of='{quoted}'"]
                self.given_up.append(job)
        return None

    def tell(self, number: int, outcome: Outcome) -> Outcome:
        """Take the outcome of a job, and return the outcome to record."""
        self.outcomes[tuple(self.jobs[number].overrides)] = outcome
        return outcome

    def reporter(self, number: int) -> None:
        """Return what reports the epochs of a job to a search. Reproductions need no reports."""

    def summary(self) -> list[str]:
        """Return the lines to print at the end: the refits of runs that failed."""
        return [f"not done, because the run that it refits is not: {' '.join(job.overrides)}" for job in self.given_up]
