"""Measure: two sides in turn, the processor time of a command, and the peak memory of a command."""

from __future__ import annotations

import importlib.util
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]  # where `python -m scripts.bench` finds this package
MNIST = Path(os.environ.get("GENRUN_DATA", "data")).absolute()
GENRUN = (sys.executable, "-m", "genrun")
WORDS = (f"paths.data={MNIST}",)  # that genrun's commands on MNIST need
KIB_IN_GIB = 2**20  # `ru_maxrss` counts KiB on Linux


class Failed(Exception):
    """A command of the bench failed; the message ends with its last lines."""


def is_installed(package: str) -> bool:
    """Return whether a package that genrun is compared with is installed; if it is not, say that its rows are left out."""
    if importlib.util.find_spec(package) is not None:
        return True
    print(f"bench: {package} is not installed (the extra `bench`): its rows are left out", file=sys.stderr)
    return False


def seconds_of(work: Callable[[], object]) -> float:
    """Return the seconds that some work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_turn(ours: Callable[[], float], other: Callable[[], float], pairs: int) -> tuple[float, float]:
    """Measure both sides in turn, and return the pair with the median ratio. A machine that gets slower affects both sides.

    Both are done once before: memory, caches and threads are then warm.
    """
    ours(), other()
    found = [(ours(), other()) for _ in range(pairs)]
    middle = statistics.median_low([a / b for a, b in found])
    return next(pair for pair in found if pair[0] / pair[1] == middle)


def seconds_in_turn(ours: Callable[[], object], other: Callable[[], object], pairs: int) -> tuple[float, float]:
    """Return the seconds of both sides, measured as `in_turn` does."""
    return in_turn(lambda: seconds_of(ours), lambda: seconds_of(other), pairs)


def done(command: Sequence[str], status: int = 0) -> str:
    """Run a command in the root of the project, and return what it printed.

    Raises:
        Failed: it ends with another exit status.
    """
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if result.returncode != status:
        last = "\n".join((result.stdout + result.stderr).splitlines()[-5:])
        raise Failed(f"{' '.join(command)}: status {result.returncode}\n{last}")
    return result.stdout


def genrun(*words: str) -> str:
    """Run a command of genrun, and return what it printed."""
    return done([*GENRUN, *words])


def wall_seconds(command: Sequence[str], times: int = 3, status: int = 0) -> float:
    """Return the median seconds of a command that ends with this exit status."""
    return statistics.median(seconds_of(lambda: done(command, status)) for _ in range(times))


def processor_seconds(command: Sequence[str], times: int = 3) -> float:
    """Return the processor time of a command in seconds, the least of some calls: other work on the machine counts little."""
    found = []
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done(command)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


def peak_memory(command: Sequence[str]) -> float:
    """Return the peak memory in GiB of a command that succeeds, in a process of its own."""
    code = "import resource, subprocess, sys; result = subprocess.run(sys.argv[1:], stdout=sys.stderr); "
    code += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(result.returncode)"
    return int(done([sys.executable, "-c", code, *command])) / KIB_IN_GIB
