"""How many cores of this machine other programs leave free."""

from __future__ import annotations

import os
import time
from pathlib import Path

STAT = Path("/proc/stat")
SECONDS = 0.1  # long enough for ten ticks of the kernel's clock


def idle_cores(seconds: float = SECONDS) -> int | None:
    """Watch the cores that this process may use, and return how many of them other programs leave free, to the nearest whole number.

    Time that a core waits for a disk counts as free. Time that the hypervisor gave to another machine does not, nor does the time of
    programs of low priority: two threads that wait for each other in every operation stall beside these too.

    Args:
        seconds: how long to watch.

    Returns:
        The number, or None where the kernel does not tell (no /proc/stat).
    """
    started, own = ticks(), time.process_time()
    if not started:
        return None
    time.sleep(seconds)
    own = time.process_time() - own
    ended = ticks()
    free = passed = 0.0
    for core, (idle, every) in ended.items():
        before = started.get(core, (idle, every))
        length = max(1, every - before[1])
        free += (idle - before[0]) / length
        passed = max(passed, length / os.sysconf("SC_CLK_TCK"))
    own = own / passed if passed else 0.0
    return min(len(ended), int(free + own + 0.5))


def ticks() -> dict[int, tuple[int, int]]:
    """Return the ticks of each core that this process may use: core → (idle, all); nothing where the kernel does not tell.

    A line of /proc/stat is `cpu3 user nice system idle iowait irq softirq steal guest guest_nice`; guest time is part of user time.
    """
    try:
        lines = STAT.read_text().splitlines()
    except OSError:
        return {}
    mine = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    found = {}
    for line in lines:
        name, *counts = line.split()
        if name.startswith("cpu") and name != "cpu" and (mine is None or int(name[3:]) in mine):
            user, nice, system, idle, waits, *others = map(int, counts[:8])
            found[int(name[3:])] = (idle + waits, user + nice + system + idle + waits + sum(others))
    return found
