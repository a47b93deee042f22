"""The order of the jobs of a reproduction."""

from __future__ import annotations

from dataclasses import replace

import pytest

from genrun.report.expectations import Expectations, ExpectedRun
from genrun.sweeps.jobs import Outcome
from genrun.sweeps.reproduction import Reproduction, jobs_of, miniature_of

RUNS = {
    "one": ExpectedRun("one", ("model/prior=gaussian",), (0,), 1, refits="small"),
    "small": ExpectedRun("small", ("model=vae",), (0, 1), 2),
    "paper": ExpectedRun("paper", ("model=vae_paper",), (0,), 90, on_request="long"),
}
TARGET = Expectations("mine", "", RUNS, (), (), ("trainer.max_epochs=1",))


def test_the_jobs_of_a_target():
    jobs = jobs_of(TARGET, ["data=digits"], on_request=False)
    assert [(job.run.name, job.seed) for job in jobs] == [("small", 0), ("small", 1), ("one", 0)]
    assert jobs[2].overrides == ["model=vae", "model/prior=gaussian", "seed=0", "data=digits"]
    assert [job.run.name for job in jobs_of(TARGET, [], on_request=True)] == ["small", "small", "paper", "one"]


def test_a_miniature_is_the_first_run_and_its_refit():
    jobs = miniature_of(TARGET, ["sample.n=9"])
    assert [(job.run.name, job.seed) for job in jobs] == [("small", 0), ("one", 0)]
    assert jobs[0].overrides == ["model=vae", "seed=0", "trainer.max_epochs=1", "sample.n=9"]


@pytest.mark.parametrize("state", ["done", "failed"])
def test_a_refit_waits_for_the_run_that_it_refits(state):
    source = Reproduction(jobs_of(TARGET, ["data=digits"], on_request=False))
    assert source.ask() == (0, ["model=vae", "seed=0", "data=digits"])
    assert source.ask()[0] == 1
    assert source.ask() is None  # the refit waits
    source.tell(1, Outcome("done", run="other"))
    assert source.ask() is None
    assert source.summary() == []
    source.tell(0, Outcome(state, run="it's here"))
    words = ["model=vae", "model/prior=gaussian", "seed=0", "data=digits", r"run.refit_of='it\'s here'"]
    assert source.ask() == ((2, words) if state == "done" else None)
    assert source.ask() is None
    assert len(source.summary()) == (state == "failed")


def test_two_targets_that_name_a_run_have_one_job_for_it():
    jobs = jobs_of(TARGET, [], on_request=False)
    again = jobs_of(replace(TARGET, name="again"), [], on_request=False)
    source = Reproduction([*jobs, *again])
    assert source.size == 3
    asked = [source.ask()[0] for _ in range(2)]
    for number in asked:
        source.tell(number, Outcome("done", run=str(number)))
    assert source.ask()[1][-1] == "run.refit_of='0'"
    assert source.ask() is None
