"""`genrun list`: the runs below the folder of outputs, the newest first."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genrun.report.tables import number, table
from genrun.runs.find import DISTANCE, matching, of_earlier_judge
from genrun.runs.summary import RunSummary, runs_below
from genrun.system.console import print_json, say, screen
from genrun.verbs.arguments import Arguments, outputs_folder

METRICS = {"Fréchet": DISTANCE, "coverage": "coverage (observer)", "authenticity": "authenticity"}  # heading → metric


def main(arguments: list[str]) -> int:
    """Print a line for each run."""
    asked, outputs = parse(arguments)
    if not outputs.is_dir():
        say(screen(error=True), f"there is no folder {outputs} yet; the first run makes it")
    runs, broken = runs_below(outputs)
    runs = matching(runs, asked.filters)
    shown = runs if asked.all or asked.json else runs[: asked.n]
    console = screen()
    if asked.json:
        print_json([described(run) for run in shown])
    elif not runs:
        say(console, f"no {'such ' if asked.filters else ''}runs in {outputs}")
    else:
        console.print(run_table(shown))
        if len(shown) < len(runs):
            say(console, f"… and {len(runs) - len(shown)} more (--all, or -n)")
        if earlier := sum(map(of_earlier_judge, shown)):
            say(
                console,
                f"{earlier} of these runs were judged by an earlier version, whose distances cannot be compared with new ones; "
                "genrun evaluate RUN judges again",
            )
    for reason in broken:
        say(screen(error=True), f"left out: {reason}")
    return 0


def parse(arguments: list[str]) -> tuple[Namespace, Path]:
    parser = Arguments(
        "genrun list",
        description="List the runs in paths.outputs, the newest first. FILTER is option=value, such as model=vae, state=done or "
        "trainer.max_epochs=20 (a,b: one of these; !=: none of these), or a text in the run's name or command.",
    )
    parser.add_argument("filters", nargs="*", metavar="FILTER")
    parser.add_argument("-n", type=int, default=20, help="how many runs (default: 20)")
    parser.add_argument("--all", action="store_true", help="all runs")
    parser.add_argument("--json", action="store_true", help="all runs as JSON")
    asked = parser.parse_intermixed_args(arguments)
    if asked.n < 1:
        parser.error(f"-n: expected at least 1, got {asked.n}")
    asked.filters, outputs = outputs_folder(asked.filters)
    return asked, outputs


def run_table(runs: Sequence[RunSummary]) -> Any:
    """Return a table with a line for each run; its last column is what the command changed of the default."""
    now = datetime.now(UTC)
    lines = [
        [
            *(run.name, run.model, run.data, run.state, age(run.started, now)),
            *(number(run.value(metric)) for metric in METRICS.values()),
            " ".join(run.words),
        ]
        for run in runs
    ]
    return table(None, ["run", "model", "data", "state", "age", *METRICS, "command"], lines, keys=4)


def age(started: str, now: datetime) -> str:
    """Format the time since an attempt began: `5 min`, `3 h`, `12 d`."""
    try:
        seconds = max(0.0, (now - datetime.fromisoformat(started)).total_seconds())
    except (ValueError, TypeError):
        return "–"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def described(run: RunSummary) -> dict[str, Any]:
    """Return what a program may want to know of a run."""
    return {
        "run": str(run.folder.path),
        "id": run.id,
        "model": run.model,
        "data": run.data,
        "seed": run.config["seed"],
        "state": run.state,
        "error": run.status.get("error"),
        "started": run.started,
        "overrides": run.overrides,
        "metrics": {name: run.value(name) for name in run.rows},
    }
