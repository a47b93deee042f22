"""Processes that each use all cores compute one after the other."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest
import torch

from genrun.system import turns as module
from genrun.system.turns import Turns, in_turn, needs_turns


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(module, "LENGTH", 0.005)
    monkeypatch.setattr(module, "LONGEST", 0.05)


def child(work: Callable[[], None]) -> int:
    """Fork a process that does this work."""
    if number := os.fork():
        return number
    try:
        work()
    finally:
        os._exit(0)


def test_two_processes_alternate_and_never_work_at_once(quick, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "LONGEST", 20.0)
    out = os.open(tmp_path / "log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    ready, say_ready = os.pipe()

    def work(name: bytes) -> None:
        mine = Turns(tmp_path / "turns")
        with mine.held():
            for _ in range(20):
                os.write(out, name.lower())
                time.sleep(0.003)
                os.write(out, name)
                mine.pass_on()

    def work_too() -> None:
        os.write(say_ready, b"!")
        work(b"B")

    other = child(work_too)
    os.read(ready, 1)
    work(b"A")
    os.waitpid(other, 0)
    said = (tmp_path / "log").read_text()
    assert len(said) == 80 and all(
        pair in ("aA", "bB") for pair in map("".join, zip(said[::2], said[1::2], strict=True))
    )
    assert said.count("Ab") >= 2 and said.count("Ba") >= 2


def test_a_killed_owner_leaves_the_turn(quick, tmp_path):
    ready, say_ready = os.pipe()

    def work() -> None:
        with Turns(tmp_path / "turns").held():
            os.write(say_ready, b"!")
            time.sleep(60)

    other = child(work)
    os.read(ready, 1)
    mine = Turns(tmp_path / "turns")
    with mine.held():  # whose owner lets go of nothing
        assert mine.skips_until > time.monotonic()
    os.kill(other, signal.SIGKILL)
    os.waitpid(other, 0)
    mine.skips_until = 0.0
    with mine.held():
        assert not mine.skips_until


def test_contexts_inside_each_other_hold_one_turn(quick, tmp_path):
    mine = Turns(tmp_path / "turns")

    def free() -> bool:
        def ask() -> None:
            theirs = Turns(tmp_path / "turns")
            with theirs.held():
                os._exit(int(theirs.skips_until > 0))

        return os.waitstatus_to_exitcode(os.waitpid(child(ask), 0)[1]) == 0

    with mine.held():
        with mine.held():
            pass
        assert not free()
    assert free()


def test_where_the_file_cannot_be_made_there_are_no_turns(tmp_path):
    mine = Turns(tmp_path / "none" / "turns")
    with mine.held():
        mine.pass_on()
    assert mine.skips_until == float("inf")


@pytest.mark.parametrize(
    ("threads", "cores", "device", "expected"),
    [(2, 2, "cpu", True), (1, 1, "cpu", False), (1, 2, "cpu", False), (4, 8, "cpu", False), (5, 8, "cpu", True),
     (2, 2, "cuda", False)],
)  # fmt: skip
def test_only_those_that_do_not_fit_beside_each_other_take_turns(monkeypatch, threads, cores, device, expected):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(module, "cores", lambda: cores)
    assert needs_turns(device) is expected


def test_parts_come_in_order_and_each_is_followed_by_an_offer(monkeypatch):
    seen = []
    monkeypatch.setattr(module, "needs_turns", lambda _: True)
    monkeypatch.setattr(module.turns, "pass_on", lambda: seen.append("offer"))
    for part in in_turn(range(2), "cpu"):
        seen.append((part, module.turns.depth))
    assert seen == [(0, 1), "offer", (1, 1), "offer"] and not module.turns.depth
