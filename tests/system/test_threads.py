"""The number of threads that a process computes with."""

from __future__ import annotations

import io
import json

import pytest
import torch
from rich.console import Console

from genrun.system import threads as module
from genrun.system.threads import free_cores, set_threads


@pytest.fixture
def machine(monkeypatch):
    """A machine with so many cores, of which others leave some free; torch would take all. Afterwards the threads are as before."""
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    def has(cores: int, free: int | None) -> None:
        monkeypatch.setattr(module, "cores", lambda: cores)
        monkeypatch.setattr(module, "idle_cores", lambda: free)
        torch.set_num_threads(cores)

    yield has
    torch.set_num_threads(before)


def chosen(threads: int | None = None, kept: int | None = None) -> tuple[int, str]:
    console = Console(record=True, width=300, file=io.StringIO())
    set_threads(threads, kept, console)
    return torch.get_num_threads(), console.export_text()


@pytest.mark.parametrize(("cores", "free", "expected"), [(2, 1, 1), (2, 0, 1), (4, 3, 3)])
def test_a_run_leaves_others_their_cores_and_says_so_in_one_line(machine, cores, free, expected):
    machine(cores, free)
    line = f"threads: {expected} instead of {cores}, because other programs are busy on the other cores "
    line += "(hardware.threads sets another number)\n"
    assert chosen() == (expected, line)


@pytest.mark.parametrize("free", [2, None])
def test_on_an_idle_machine_and_where_nothing_is_known_it_takes_all_and_says_nothing(machine, free):
    machine(2, free)
    assert chosen() == (2, "")


def test_what_is_asked_for_is_obeyed(machine, monkeypatch):
    machine(2, 0)
    assert chosen(threads=3) == (3, "")
    torch.set_num_threads(2)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # torch read it: a job's share of a sweep
    assert chosen() == (2, "") and chosen(kept=1) == (2, "")


def test_a_run_that_goes_on_keeps_its_number_and_says_when_fewer_would_be_faster(machine):
    machine(2, 0)
    assert chosen(kept=1) == (1, "")
    number, line = chosen(kept=2)
    assert number == 2 and line.startswith("threads: 2, as this run began, though only 0 of 2 cores are free; ")
    assert "hardware.threads=1 may be faster" in line and line.count("\n") == 1
    machine(2, 2)
    assert chosen(kept=5) == (2, "")  # a run from a larger machine


def test_other_runs_wait_while_it_watches(machine, monkeypatch):
    machine(2, None)
    seen = []
    monkeypatch.setattr(module, "idle_cores", lambda: seen.append(module.turns.depth))
    assert free_cores() == 2 and seen == [1]


def test_the_number_is_recorded_and_kept_and_no_part_of_the_id(tiny, monkeypatch):
    folder = tiny("trainer.max_epochs=1", "hardware.threads=1")
    assert json.loads((folder.path / "provenance.json").read_text())["machine"]["threads"] == 1
    seen = []
    monkeypatch.setattr("genrun.stages.context.set_threads", lambda threads, kept, _: seen.append((threads, kept)))
    again = tiny("trainer.max_epochs=1", "sample.n=31")
    tiny("trainer.max_epochs=1", "sample.n=32", "run.resume=never")
    assert again.path == folder.path and seen == [(None, 1), (None, None)]
