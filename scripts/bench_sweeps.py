"""Measure what a job of a sweep costs in addition to its run (part of `make bench`).

Tiny runs (CSGM on scikit-learn's digits, one epoch), one at a time: twenty in one warm process, twenty as jobs of a local
sweep, and four with each launcher whose processes start cold. The first job of each is left out: it waits until torch is imported.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from genrun.config.compose import compose
from genrun.run import run

JOBS = 20
COLD_JOBS = 4  # with a launcher whose processes start cold
TINY = (
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


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        times = []
        for seed in range(JOBS):
            overrides = [*TINY, *SHORT, f"seed={seed}", f"paths.outputs={here}/one"]
            started = time.perf_counter()
            run(compose(overrides), overrides, Console(quiet=True))
            times.append(time.perf_counter() - started)
        alone = sum(times[1:]) / (JOBS - 1)
        print(f"a tiny run in a warm process, mean of {JOBS - 1}: {alone:.2f} s")
        print_cost("a job of a local sweep", per_job(here / "local", JOBS, "local"), alone, "(< 1)")
        for launcher, module in (("submitit_local", "submitit"), ("ray", "ray")):
            if importlib.util.find_spec(module) is None:
                print(f"  {launcher}: not installed")
            else:
                print_cost(
                    f"a job with {launcher}, whose processes start cold",
                    per_job(here / launcher, COLD_JOBS, launcher),
                    alone,
                    "",
                )


def per_job(outputs: Path, jobs: int, launcher: str) -> float:
    """Run a sweep one job at a time. Return the mean seconds from the end of one job to the end of the next."""
    seeds = ",".join(map(str, range(jobs)))
    arguments = ["-m", *TINY, *SHORT, f"seed={seeds}", f"paths.outputs={outputs}", "sweep.name=bench"]
    command = [sys.executable, "-m", "genrun", *arguments, f"hydra/launcher={launcher}", "hydra.launcher.jobs=1"]
    ends = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.rstrip().endswith(": done"):
                ends.append(time.perf_counter())
    record = json.loads((outputs / "sweeps/bench/results.json").read_text())
    if process.returncode or len(ends) != jobs:
        sys.exit(f"bench: the sweep failed: {record['jobs']}")
    return (ends[-1] - ends[0]) / (jobs - 1)


def print_cost(what: str, seconds: float, alone: float, goal: str) -> None:
    """Print the seconds of a job, and how many of them are not its run's."""
    print(f"  {what}: {seconds:.2f} s, {seconds - alone:.2f} s more than the run {goal}".rstrip())


if __name__ == "__main__":
    main()
