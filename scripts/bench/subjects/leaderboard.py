"""`genrun list` and `genrun compare` with many runs: one judged run (a VAE on scikit-learn's digits, one epoch), and copies of it."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from scripts.bench.effort import Effort
from scripts.bench.measuring import GENRUN, genrun, processor_seconds
from scripts.bench.rows import Row

RUNS, SEEDS = 500, 5
VERBS = ("list", "compare")
SMALL = ("config.yaml", "provenance.json", "results.json", "metrics.csv")


def rows(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this subject."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(folder) / "outputs"
        count = effort.count(RUNS, 10)
        add_runs(outputs, count)
        alone = processor_seconds([sys.executable, "-c", "import rich.console, yaml"])
        for verb in VERBS:
            note = f"{count} runs; Python with rich and yaml alone: {alone:.2f} s"
            yield Row(f"genrun {verb}, processor time", seconds_to(verb, outputs), goal=2, note=note)


def seconds_to(verb: str, outputs: Path) -> float:
    """Return the processor time of a verb with all runs in a folder, in seconds."""
    return processor_seconds([*GENRUN, verb, f"paths.outputs={outputs}"])


def add_runs(outputs: Path, count: int) -> None:
    """Make runs until there are so many: first a judged one, then copies without its large files, with other ids and seeds."""
    there = sorted(outputs.glob("*/*/status.json"), key=lambda file: file.stat().st_mtime_ns)
    if not there:
        words = ["model=vae", "data=digits", "trainer.max_epochs=1", "sample.n=500", "run.figures=false"]
        genrun(*words, f"paths.outputs={outputs}")
        there = list(outputs.glob("*/*/status.json"))
    for k in range(len(there) - 1, count - 1):
        copy(there[0].parent, f"{k:08x}", group=f"{k // SEEDS}", seed=k % SEEDS)


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
