"""Commands: help, a finished run, and the fixed cost of a run beyond its training."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from scripts.bench.effort import Effort
from scripts.bench.measuring import GENRUN, genrun, processor_seconds, seconds_of, wall_seconds
from scripts.bench.rows import Row

SMALL_RUN = ("trainer.max_epochs=1", "data.limit=200", "sample.n=10", "evaluation=none", "model/prior=gaussian")
DIGITS = ("model=vae", "data=digits", "trainer.max_epochs=1", "evaluation=none")


def rows(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this subject."""
    with tempfile.TemporaryDirectory() as scratch:
        outputs = f"paths.outputs={scratch}"
        yield Row("genrun --help", wall_seconds([*GENRUN, "--help"]), goal=0.35)
        genrun(*SMALL_RUN, outputs)
        yield Row("a finished run's command", wall_seconds([*GENRUN, *SMALL_RUN, outputs]), goal=0.35)
        yield Row("a finished run's command, processor time", processor_seconds([*GENRUN, *SMALL_RUN, outputs]))
        taken = seconds_of(lambda: genrun(*DIGITS, "run.name=bench", outputs))
        (status,) = Path(scratch).glob("*/bench/status.json")
        training = json.loads(status.read_text())["training_seconds"]
        yield Row(
            "a run beyond its training, without judge: model=vae data=digits",
            taken - training,
            goal=8,
            note="figures and all",
        )
