"""How many cores other programs leave free, from a made-up /proc/stat."""

from __future__ import annotations

import pytest

from genrun.system import load
from genrun.system.load import idle_cores

TICKS = 10  # of each core while it is watched


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine of two cores whose /proc/stat shows, after a tenth of a second, what each core did."""

    def does(*cores: dict[str, int], mine: frozenset = frozenset({0, 1}), own: float = 0.0) -> None:
        names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
        stat, clock = tmp_path / "stat", [5.0]

        def show(passed: int) -> None:
            lines = [" ".join([f"cpu{k}", *(str(1000 + passed * did.get(name, 0)) for name in names), "0", "0"])
                     for k, did in enumerate(cores)]  # fmt: skip
            stat.write_text("\n".join(["cpu 1 2 3 4 5 6 7 8 0 0", *lines, "intr 5 0"]))

        def sleep(seconds: float) -> None:
            show(1)
            clock[0] += own

        show(0)
        monkeypatch.setattr(load, "STAT", stat)
        monkeypatch.setattr(load.os, "sched_getaffinity", lambda _: set(mine))
        monkeypatch.setattr(load.os, "sysconf", lambda _: 100)
        monkeypatch.setattr(load.time, "sleep", sleep)
        monkeypatch.setattr(load.time, "process_time", lambda: clock[0])

    return does


BUSY, FREE = {"user": TICKS}, {"idle": TICKS}


@pytest.mark.parametrize(
    ("cores", "expected"),
    [
        ([FREE, FREE], 2),
        ([BUSY, FREE], 1),
        ([BUSY, {"nice": 6, "steal": 4}], 0),
        ([FREE, {"idle": 3, "iowait": 5, "system": 2}], 2),
        ([{"idle": 8, "user": 2}, {"idle": 6, "softirq": 4}], 1),
        ([{}, FREE], 1),  # a core whose clock stood still tells nothing
    ],
)
def test_what_others_leave_is_counted_to_the_nearest_core(machine, cores, expected):
    machine(*cores)
    assert idle_cores() == expected


def test_cores_that_this_process_may_not_use_do_not_count(machine):
    machine(FREE, FREE, BUSY, mine=frozenset({1, 2}))
    assert idle_cores() == 1


def test_its_own_work_is_not_other_work(machine):
    machine(BUSY, FREE, own=0.1)
    assert idle_cores() == 2


def test_without_proc_nothing_is_known(monkeypatch, tmp_path):
    monkeypatch.setattr(load, "STAT", tmp_path / "none")
    assert idle_cores() is None
