"""A job of a sweep, beyond its run: tiny runs, one at a time, in one warm process and as jobs of each launcher."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from genrun.config.compose import compose
from genrun.run import run
from scripts.bench.effort import Effort
from scripts.bench.measuring import GENRUN, ROOT, Failed, is_installed, seconds_of
from scripts.bench.rows import Row

JOBS = 20
COLD_JOBS = 4  # with a launcher whose processes start cold
SMALL_RUN = (
    "data=digits",
    "data.limit=200",
    "data.passes=1",
    "data.batch_size=32",
    "model.pixels=8",
    "model.hidden=[24,16]",
    "model.basis=16",
    "model.place_hidden=[16]",
    "model.prior.components=2",
)
SHORT = ("trainer.max_epochs=1", "sample.n=30", "evaluation=none", "callbacks=none", "hardware.threads=1")


def rows(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this subject."""
    jobs = effort.count(JOBS, 3)
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        runs = [seconds_of(lambda seed=seed: one_run(here, seed)) for seed in range(jobs)]
        alone = sum(runs[1:]) / (jobs - 1)  # the first waits until torch is imported
        yield Row("a tiny run in a warm process", alone, note=f"mean of {jobs - 1}")
        local = per_job(here / "local", jobs, "local")
        yield Row("a job of a local sweep, beyond its run", local - alone, goal=1, note=f"{local:.2f} s with it")
        for launcher, package in (("submitit_local", "submitit"), ("ray", "ray")):
            if is_installed(package):
                cold = per_job(here / launcher, min(jobs, COLD_JOBS), launcher)
                note = f"{cold:.2f} s with it; its processes start cold"
                yield Row(f"a job with hydra/launcher={launcher}, beyond its run", cold - alone, note=note)


def one_run(here: Path, seed: int) -> None:
    """Do a tiny run in this process."""
    words = [*SMALL_RUN, *SHORT, f"seed={seed}", f"paths.outputs={here}/one"]
    run(compose(words), words, Console(quiet=True), shows=False)


def per_job(outputs: Path, jobs: int, launcher: str) -> float:
    """Run a sweep one job at a time. Return the mean seconds from the end of one job to the end of the next."""
    ends = []
    with subprocess.Popen(command(outputs, jobs, launcher), stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        for line in process.stdout:
            if line.rstrip().endswith(": done"):
                ends.append(time.perf_counter())
    if process.returncode or len(ends) != jobs:
        record = json.loads((outputs / "sweeps/bench/results.json").read_text())
        raise Failed(f"the sweep failed: {record['jobs']}")
    return (ends[-1] - ends[0]) / (jobs - 1)


def command(outputs: Path, jobs: int, launcher: str = "local") -> list[str]:
    """Return the command of a sweep of so many tiny jobs, one at a time."""
    seeds = ",".join(map(str, range(jobs)))
    words = ["-m", *SMALL_RUN, *SHORT, f"seed={seeds}", f"paths.outputs={outputs}", "sweep.name=bench"]
    return [*GENRUN, *words, f"hydra/launcher={launcher}", "hydra.launcher.jobs=1"]
