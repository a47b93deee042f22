"""Measure the processor time of `genrun list` and `genrun compare` with 500 runs (part of `make bench`).

One judged run is made (a VAE on scikit-learn's digits, one epoch) and copied with other ids and seeds, without its large files.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

RUNS, SEEDS = 500, 5
GOAL = 2.0  # seconds of processor time
SMALL = ("config.yaml", "provenance.json", "results.json", "metrics.csv")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(folder) / "outputs"
        command = ["model=vae", "data=digits", "trainer.max_epochs=1", "sample.n=500", "run.figures=false"]
        genrun(*command, f"paths.outputs={outputs}")
        (source,) = outputs.glob("*/*/status.json")
        for k in range(RUNS - 1):
            copy(source.parent, f"{k:08x}", group=f"{k // SEEDS}", seed=k % SEEDS)
        alone = timed(sys.executable, "-c", "import rich.console, yaml")
        for verb in ("list", "compare"):
            seconds = timed(sys.executable, "-m", "genrun", verb, f"paths.outputs={outputs}")
            print(
                f"genrun {verb} of {RUNS} runs: {seconds:.2f} s (goal {GOAL:g}); Python with rich and yaml alone: {alone:.2f} s"
            )


def copy(source: Path, name: str, *, group: str, seed: int) -> None:
    """Make a run that differs in its id and seed."""
    made = source.with_name(name)
    made.mkdir()
    for file in SMALL:
        shutil.copy(source / file, made / file)
    status = json.loads((source / "status.json").read_text())
    (made / "status.json").write_text(json.dumps(status | {"id": name, "group_id": group}))
    config = (source / "config.yaml").read_text()
    (made / "config.yaml").write_text(config.replace("\nseed: 0\n", f"\nseed: {seed}\n"))


def genrun(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "genrun", *words], check=True, capture_output=True)


def timed(*command: str) -> float:
    """Return the processor time of a command in seconds, the least of three: other work on the machine counts little."""
    durations = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        durations.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(durations)


if __name__ == "__main__":
    main()
