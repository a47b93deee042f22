"""What a job of a sweep costs beyond its run: part of `make bench`.

Twenty tiny runs (CSGM on scikit-learn's digits, one epoch) one at a time: in one warm process, as jobs of a local sweep, and on engines
whose processes start cold. The first job of each is left out: it waits for torch to be imported.
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
COLD = 4  # jobs on an engine whose processes start cold
TINY = (
    "data=digits",
    "data.limit=200",
    "data.passes=1",
    "data.batch_size=32",
    "model.pixels=8",
    "model.hidden=[24,16]",
)
SHORT = ("trainer.max_epochs=1", "sample.n=30", "evaluation=none", "callbacks=none", "hardware.threads=1")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        times = []
        for seed in range(JOBS):
            every = [*TINY, *SHORT, f"seed={seed}", f"paths.outputs={here}/one"]
            started = time.perf_counter()
            run(compose(every), every, Console(quiet=True))
            times.append(time.perf_counter() - started)
        alone = sum(times[1:]) / (JOBS - 1)
        print(f"a tiny run, the {JOBS - 1} after the first in one warm process: {alone:.2f} s")
        tell("a job of a local sweep", per_job(here / "local", JOBS, "local"), alone, "(< 1)")
        for engine, module in (("submitit_local", "submitit"), ("ray", "ray")):
            if importlib.util.find_spec(module) is None:
                print(f"  {engine}: not installed")
            else:
                tell(f"a job on {engine}, its process cold", per_job(here / engine, COLD, engine), alone, "")


def per_job(outputs: Path, jobs: int, engine: str) -> float:
    """Seconds from a job's end to the next one's end, on average over all but the first, one at a time."""
    seeds = ",".join(map(str, range(jobs)))
    several = ["-m", *TINY, *SHORT, f"seed={seeds}", f"paths.outputs={outputs}", "sweep.name=bench"]
    command = [sys.executable, "-m", "genrun", *several, f"hydra/launcher={engine}", "hydra.launcher.jobs=1"]
    ends = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.rstrip().endswith(": done"):
                ends.append(time.perf_counter())
    record = json.loads((outputs / "sweeps/bench/results.json").read_text())
    if process.returncode or len(ends) != jobs:
        sys.exit(f"bench: the sweep failed: {record['jobs']}")
    return (ends[-1] - ends[0]) / (jobs - 1)


def tell(what: str, seconds: float, alone: float, goal: str) -> None:
    print(f"  {what}: {seconds:.2f} s, {seconds - alone:.2f} s of it beyond the run {goal}".rstrip())


if __name__ == "__main__":
    main()
