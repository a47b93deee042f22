"""Measure trainings beside other work (part of `make bench`): a second run, two at once, and two busy processes.

    python scripts/bench_beside.py --models vae,rbm --seconds 20

Every number is a ratio to the speed of the same training alone, which comes first; the last one is what happens with a thread for each
core and without turns. The goals are for two cores: with more, `taskset -c 0,1` before the command. Where the machine is busy already,
nothing is alone, and the first line says so by its number of threads: stop what runs first. Needs MNIST in $GENRUN_DATA, or --data digits.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BUSY = 2  # other busy processes
GOALS = {"a second run beside it": 0.9, "two runs at once": 0.9, f"beside {BUSY} busy processes": 0.4}
SPIN = "import os; parent = os.getppid()\nwhile os.getppid() == parent: sum(range(10_000))"  # ends with this process
EVERY = 0.05  # seconds between two lines of a training


class Training:
    """A training in a process of its own, as in a terminal of its own. It writes its images into a file as time passes.

    Args:
        words: of its configuration.
        plain: whether to use a thread for each core and take no turns.
    """

    def __init__(self, words: list[str], folder: Path, *, plain: bool) -> None:
        self.file = folder / f"run{time.monotonic_ns()}.txt"
        self.file.touch()
        command = [sys.executable, __file__, "--train", str(self.file), str(int(plain)), *words]
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        self.process = subprocess.Popen(command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL)

    def begin(self) -> Training:
        """Wait until its first steps are done."""
        while len(self.lines()) < 5:
            if self.process.poll() is not None:
                sys.exit("bench: a training ended; its error stands above")
            time.sleep(EVERY)
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
def trainings(
    count: int, words: list[str], folder: Path, *, plain: bool = False, others: int = 0
) -> Iterator[list[Training]]:
    """Start trainings at once beside busy processes, and end them all when the context ends."""
    busy = [subprocess.Popen([sys.executable, "-c", SPIN], start_new_session=True) for _ in range(others)]
    started = [Training(words, folder, plain=plain) for _ in range(count)]
    try:
        yield [training.begin() for training in started]
    finally:
        for process in [*busy, *(training.process for training in started)]:
            process.kill()
            process.wait()


def speed(running: list[Training], seconds: float) -> float:
    """Return the images a second of all trainings together in the next seconds."""
    since = time.monotonic()
    time.sleep(seconds)
    return sum(training.rate(since, since + seconds) for training in running)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="vae,rbm")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for model in asked.models.split(","):
            folder = Path(scratch)
            words = [f"model={model}", f"data={asked.data}", f"paths.outputs={folder}", "run.figures=false"]
            words += ["evaluation=none", "callbacks=none", "trainer.max_epochs=100000"]
            compare(model, words, folder, asked.seconds)


def compare(model: str, words: list[str], folder: Path, seconds: float) -> None:
    """Print the table of one model."""
    found: dict[str, list[tuple[float, str]]] = {name: [] for name in GOALS}
    alone = 0.0
    for plain in (False, True):
        with trainings(1, words, folder, plain=plain) as first:
            if not plain:
                alone = speed(first, seconds)
                print(f"{model} alone: {alone:,.0f} images/s, threads {first[0].threads}", flush=True)
            with trainings(1, words, folder, plain=plain) as second:
                both = [*first, *second]
                found["a second run beside it"].append((speed(both, seconds), threads_of(both)))
        with trainings(2, words, folder, plain=plain) as both:
            found["two runs at once"].append((speed(both, seconds), threads_of(both)))
        with trainings(1, words, folder, plain=plain, others=BUSY) as one:
            found[f"beside {BUSY} busy processes"].append((speed(one, seconds), threads_of(one)))
    for name, ((own, threads), (before, _)) in found.items():
        verdict = "" if own / alone >= GOALS[name] else "  MISSED"
        print(
            f"  {name}: {own / alone:.2f} of alone (goal {GOALS[name]:g}), threads {threads};"
            f" a thread for each core, without turns: {before / alone:.2f}{verdict}",
            flush=True,
        )


def threads_of(running: list[Training]) -> str:
    return " and ".join(str(training.threads) for training in running)


def train(file: str, plain: bool, words: list[str]) -> None:
    """Train, and write the time, the number of images so far, and the number of threads."""
    import torch
    from pytorch_lightning.callbacks import Callback
    from rich.console import Console

    from genrun.config.compose import compose
    from genrun.run import run
    from genrun.system.hardware import cores
    from genrun.system.turns import turns

    parent = os.getppid()

    class Clock(Callback):
        def __init__(self, out: Any) -> None:
            self.out, self.images, self.last = out, 0, 0.0

        def on_train_batch_end(self, trainer: Any, method: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            if os.getppid() != parent:  # the bench was killed
                os._exit(1)
            self.images += len(batch.image)
            if (now := time.monotonic()) - self.last > EVERY:
                self.last = now
                print(now, self.images, torch.get_num_threads(), file=self.out, flush=True)

    if plain:
        words = [*words, f"hardware.threads={cores()}"]
        turns.skips_until = math.inf
    words = [*words, "run.resume=never", f"run.name={Path(file).stem}"]
    with open(file, "a") as out:
        run(compose(words), words, Console(quiet=True), callbacks=[Clock(out)])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--train"]:
        train(sys.argv[2], bool(int(sys.argv[3])), sys.argv[4:])
    else:
        main()
