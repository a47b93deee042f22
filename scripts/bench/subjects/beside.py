"""Trainings beside other work: a second run, two at once, and two busy processes.

Each row is a ratio to the speed of the same training alone. The goals are for two cores: with more, `taskset -c 0,1` before the command.
Where the machine is busy already, nothing is alone, and the number of threads in the note says so.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from scripts.bench.effort import Effort
from scripts.bench.measuring import ROOT, WORDS, Failed
from scripts.bench.rows import Row, rate

MODELS = ("vae", "rbm")
BUSY = 2  # other busy processes
LATER, AT_ONCE, OTHERS = "a second run, begun later", "two runs begun at once", f"beside {BUSY} busy processes"
GOALS = {LATER: 0.9, AT_ONCE: 0.9, OTHERS: 0.4}
SPIN = "import os; parent = os.getppid()\nwhile os.getppid() == parent: sum(range(10_000))"  # ends with this process
SECONDS = 10  # of each measurement
LONGEST = 300  # seconds to wait for the first steps
BEGUN = 5  # lines after which a training has begun
LOOK = 0.05  # seconds between two looks at a file


class Training:
    """A training in a process of its own, as in a terminal of its own. It writes its images into a file as time passes.

    Args:
        words: of its configuration.
        plain: whether to use a thread for each core and take no turns.
    """

    def __init__(self, words: list[str], folder: Path, *, plain: bool) -> None:
        self.file = folder / f"run{time.monotonic_ns()}.txt"
        self.file.touch()
        command = [sys.executable, "-m", "scripts.bench.beside_run", str(self.file), str(int(plain)), *words]
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        self.process = subprocess.Popen(
            command, env=environment, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL
        )

    def begin(self) -> Training:
        """Wait until its first steps are done.

        Raises:
            Failed: it ended, or it needs too long.
        """
        until = time.monotonic() + LONGEST
        while len(self.lines()) < BEGUN:
            if time.monotonic() > until:
                raise Failed(f"a training did not do {BEGUN} steps in {LONGEST} s")
            if self.process.poll() is not None:
                raise Failed("a training ended; its error stands above")
            time.sleep(LOOK)
        return self

    def lines(self) -> list[tuple[float, int, int]]:
        """Return (time, images so far, threads) of all lines that are whole."""
        return [
            (float(when), int(images), int(threads))
            for when, images, threads in (line.split() for line in self.file.read_text().split("\n")[:-1])
        ]

    def rate(self, since: float, until: float) -> float:
        """Return the images a second between two times."""
        first, last = (
            max((line for line in self.lines() if line[0] <= at), default=(0, 0, 0)) for at in (since, until)
        )
        return (last[1] - first[1]) / (until - since)

    @property
    def threads(self) -> int:
        return self.lines()[-1][2]


@contextlib.contextmanager
def running(
    count: int, words: list[str], folder: Path, *, plain: bool = False, others: int = 0
) -> Iterator[list[Training]]:
    """Start trainings at once beside busy processes, and end them all when the context ends."""
    processes, started = [], []
    try:
        for _ in range(others):
            processes.append(subprocess.Popen([sys.executable, "-c", SPIN], start_new_session=True))
        for _ in range(count):
            started.append(Training(words, folder, plain=plain))
            processes.append(started[-1].process)
        yield [training.begin() for training in started]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def speed(trainings: list[Training], seconds: float) -> float:
    """Return the images a second of all trainings together in the next seconds."""
    since = time.monotonic()
    time.sleep(seconds)
    return sum(training.rate(since, since + seconds) for training in trainings)


def rows(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this subject."""
    for model in MODELS:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            words = [f"model={model}", "data=mnist", f"paths.outputs={folder}", "run.figures=false", "evaluation=none"]
            words += ["callbacks=none", "trainer.max_epochs=100000", *WORDS]
            yield from compared(model, words, folder, max(0.5, SECONDS * effort.share))


def compared(model: str, words: list[str], folder: Path, seconds: float) -> Iterator[Row]:
    """Measure one model alone and beside other work, as it is and with a thread for each core and without turns."""
    found: dict[str, list[tuple[float, str]]] = {name: [] for name in GOALS}
    alone, threads = 0.0, ""
    for plain in (False, True):
        with running(1, words, folder, plain=plain) as first:
            if not plain:
                alone, threads = speed(first, seconds), threads_of(first)
            with running(1, words, folder, plain=plain) as second:
                both = [*first, *second]
                found[LATER].append((speed(both, seconds), threads_of(both)))
        with running(2, words, folder, plain=plain) as both:
            found[AT_ONCE].append((speed(both, seconds), threads_of(both)))
        with running(1, words, folder, plain=plain, others=BUSY) as one:
            found[OTHERS].append((speed(one, seconds), threads_of(one)))
    for name, ((own, used), (before, _)) in found.items():
        note = f"threads {used}, alone {threads}; a thread for each core, without turns: {before / alone:.2f}"
        yield rate(f"model={model}, {name}, against it alone", own, alone, goal=GOALS[name], note=note)


def threads_of(trainings: list[Training]) -> str:
    return " and ".join(str(training.threads) for training in trainings)
