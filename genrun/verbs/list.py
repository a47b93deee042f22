"""`genrun list`: the runs below the folder of outputs, the newest first."""

from __future__ import annotations

import json
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genrun.report.tables import number, table
from genrun.runs.find import RunSummary, matching, runs_below
from genrun.system.console import say, screen
from genrun.verbs.arguments import Arguments, outputs_folder

LONGEST = 40  # letters of an override
METRICS = {  # heading → row of results.json
    "Fréchet": "Fréchet distance (classifier)",
    "coverage": "coverage (classifier)",
    "authenticity": "authenticity",
}


def main(arguments: list[str]) -> int:
    """Print a line for each run."""
    asked, outputs = parse(arguments)
    runs, broken = runs_below(outputs)
    runs = matching(runs, asked.filters)
    shown = runs if asked.all or asked.json else runs[: asked.n]
    console = screen()
    if asked.json:
        print(json.dumps([described(run) for run in shown], indent=2, ensure_ascii=False))
    elif not runs:
        say(console, f"no {'such ' if asked.filters else ''}runs in {outputs}")
    else:
        now = datetime.now(UTC)
        lines = [line(run, now) for run in shown]
        console.print(table(None, ["run", "model", "data", "state", "age", *METRICS, "differs in"], lines))
        if len(shown) < len(runs):
            say(console, f"… and {len(runs) - len(shown)} more (--all, or -n)")
    for reason in broken:
        say(screen(error=True), f"left out: {reason}")
    return 0


def parse(arguments: list[str]) -> tuple[Namespace, Path]:
    parser = Arguments(
        "genrun list",
        description="List the runs, the newest first. FILTER is option=value, such as model=vae, state=done or trainer.max_epochs=20 "
        "(a,b: any of these; !=: none of these), or a text in the run's command.",
    )
    parser.add_argument("filters", nargs="*", metavar="FILTER")
    parser.add_argument("-n", type=int, default=20, help="how many runs (default: 20)")
    parser.add_argument("--all", action="store_true", help="all runs")
    parser.add_argument("--json", action="store_true", help="all runs as JSON")
    asked = parser.parse_intermixed_args(arguments)
    asked.filters, outputs = outputs_folder(asked.filters)
    return asked, outputs


def line(run: RunSummary, now: datetime) -> list[str]:
    """Return the texts of one run."""
    values = [number(run.value(metric)) for metric in METRICS.values()]
    return [
        run.name,
        run.model,
        run.data,
        run.state,
        age(run.started, now),
        *values,
        " ".join(map(shortened, run.words)),
    ]


def shortened(word: str) -> str:
    """Cut a long override."""
    return word if len(word) <= LONGEST else f"{word[: LONGEST - 1]}…"


def age(started: str, now: datetime) -> str:
    """Format the time since a run began: `5 min`, `3 h`, `12 d`."""
    try:
        seconds = (now - datetime.fromisoformat(started)).total_seconds()
    except (ValueError, TypeError):
        return "–"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"


def described(run: RunSummary) -> dict[str, Any]:
    """Return what a program may want to know of a run."""
    return {
        "run": str(run.folder.path),
        "id": run.id,
        "model": run.model,
        "data": run.data,
        "state": run.state,
        "started": run.started,
        "overrides": run.overrides,
        "metrics": {name: row.get("value") for name, row in run.rows.items()},
    }
