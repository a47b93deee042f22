"""The jobs of reproductions: the runs that their expectations name, each with its seeds, a refit after the run that it refits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genrun.report.expectations import Expectations, ExpectedRun
from genrun.sweeps.jobs import Outcome


@dataclass(frozen=True)
class ExpectedJob:
    """A run of a target with one seed.

    Args:
        target: its expectations.
        run: the run.
        seed: its seed.
        words: of the run.
        added: words of the command, the last ones.
    """

    target: Expectations
    run: ExpectedRun
    seed: int
    words: tuple[str, ...]
    added: tuple[str, ...]

    @property
    def overrides(self) -> list[str]:
        """The overrides of its configuration, but for `run.refit_of`."""
        return [*self.words, f"seed={self.seed}", *self.added]

    @property
    def parent(self) -> tuple[str, str, int] | None:
        """The target, run and seed of the run that this one refits; None for a run that is trained."""
        return None if self.run.refits is None else (self.target.name, self.run.refits, self.seed)


def jobs_of(target: Expectations, words: Sequence[str], *, on_request: bool) -> list[ExpectedJob]:
    """Return the jobs of a target, each refit behind the run that it refits.

    Args:
        words: added to those of each run.
        on_request: with the runs that are not part of the target.
    """
    chosen = [run for run in target.runs.values() if on_request or not run.on_request]
    jobs = []
    for run in sorted(chosen, key=lambda run: run.refits is not None):
        own = (*target.runs[run.refits].words, *run.words) if run.refits else run.words
        jobs += [ExpectedJob(target, run, seed, own, tuple(words)) for seed in run.seeds]
    return jobs


def miniature_of(target: Expectations, words: Sequence[str]) -> list[ExpectedJob]:
    """Return the first job of a target and its first refit, made tiny.

    Args:
        words: added to those of the miniature.
    """
    first, *others = jobs_of(target, [*target.miniature, *words], on_request=False)
    return [first, *[job for job in others if job.parent == (target.name, first.run.name, first.seed)][:1]]


class Reproduction:
    """The source of the jobs of one or several targets.

    Args:
        jobs: see `jobs_of`; those of all targets, one after the other.
    """

    stable_numbers = True  # the same command has the same jobs

    def __init__(self, jobs: Sequence[ExpectedJob]) -> None:
        self.jobs, self.size = list(jobs), len(jobs)
        # what a list of the jobs need not repeat
        self.fixed = {word for job in jobs for word in job.added}
        self.waiting = list(range(len(jobs)))
        self.folders: dict[
            tuple[str, str, int], str
        ] = {}  # target, run and seed of each job that is done → its run folder
        self.ended: set[tuple[str, str, int]] = set()

    def ask(self) -> tuple[int, list[str]] | None:
        """Return the number and the overrides of the next job; None when there is none, or each one waits for the run that it refits.

        A refit of a run that failed is not a job.
        """
        for number in list(self.waiting):
            job = self.jobs[number]
            if job.parent is None:
                self.waiting.remove(number)
                return number, job.overrides
            if job.parent in self.ended:
                self.waiting.remove(number)
                if job.parent in self.folders:
                    quoted = self.folders[job.parent].replace("\\", "\\\\").replace("'", "\\'")
                    return number, [*job.overrides, f"run.refit_of='{quoted}'"]
        return None

    def tell(self, number: int, outcome: Outcome) -> Outcome:
        """Take the outcome of a job, and return the outcome to record."""
        job = self.jobs[number]
        key = (job.target.name, job.run.name, job.seed)
        self.ended.add(key)
        if outcome.state == "done":
            self.folders[key] = outcome.run
        return outcome

    def reporter(self, number: int) -> None:
        """Return what reports the epochs of a job to a search. Reproductions need no reports."""

    def summary(self) -> list[str]:
        """Return the lines to print at the end."""
        return []
