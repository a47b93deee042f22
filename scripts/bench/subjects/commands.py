"""Commands: help, a finished run, and the fixed cost of a run beyond its training."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scripts.bench.effort import Effort
from scripts.bench.measuring import GENRUN, ROOT, genrun, processor_seconds, seconds_of, wall_seconds
from scripts.bench.rows import Row
from scripts.bench.trainings import ONE_EPOCH, phases_of_regene

SMALL_RUN = ("trainer.max_epochs=1", "data.limit=200", "sample.n=10", "evaluation=none", "model/prior=gaussian")
DIGITS = ("data=digits", "evaluation=none", "run.resume=never")
REFUSED = ("model=vae", "data=digits", "sample.n=100")  # too few for the judge
DRAWN = {"regene": phases_of_regene(1), "nota": ONE_EPOCH}  # whose figures take longest: words of a short training
TIMES = 3


def rows(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this subject."""
    with tempfile.TemporaryDirectory() as scratch:
        outputs = f"paths.outputs={scratch}"
        yield Row("genrun --help", wall_seconds([*GENRUN, "--help"]), goal=0.35)
        genrun(*SMALL_RUN, outputs)
        yield Row("a finished run's command", wall_seconds([*GENRUN, *SMALL_RUN, outputs]), goal=0.35)
        yield Row("a finished run's command, processor time", processor_seconds([*GENRUN, *SMALL_RUN, outputs]))
        new = [*GENRUN, "model=vae", *ONE_EPOCH, *DIGITS, outputs]
        yield Row("the first line of a run", statistics.median(first_line(new) for _ in range(TIMES)), goal=0.3)
        yield Row(
            "a refusal: too few samples for the judge", wall_seconds([*GENRUN, *REFUSED, outputs], status=2), goal=0.5
        )
        beyond = statistics.median(fixed_cost(scratch) for _ in range(TIMES))
        name = "a run beyond its training, without judge: model=vae data=digits"
        yield Row(name, beyond, goal=8, note="figures and all")
        if effort.important:
            return
        for model, short in DRAWN.items():
            genrun(f"model={model}", *DIGITS, *short, f"run.name={model}", outputs)
            yield Row(
                f"figures of model={model} data=digits",
                status_of(scratch, model)["stages"]["figures"]["seconds"],
                goal=5,
            )


def status_of(outputs: str, name: str) -> dict[str, Any]:
    """Read the status of the run with this name."""
    (file,) = Path(outputs).glob(f"*/{name}/status.json")
    return json.loads(file.read_text())


def fixed_cost(outputs: str) -> float:
    """Do a run and return the seconds that it took beside its training."""
    taken = seconds_of(lambda: genrun("model=vae", *ONE_EPOCH, *DIGITS, "run.name=bench", f"paths.outputs={outputs}"))
    return taken - status_of(outputs, "bench")["training_seconds"]


def first_line(command: Sequence[str]) -> float:
    """Return the seconds until a command prints its first line; the command is then ended."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT) as process:
        process.stdout.readline()
        taken = time.perf_counter() - started
        process.kill()
    return taken
