"""`genrun show RUN`: the state, the table and the final grid of a run."""

from __future__ import annotations

import base64
import json
import os
import sys

from genrun.report.tables import show_results
from genrun.runs.find import RunSummary, find_run, read_summary
from genrun.system.console import say, screen
from genrun.verbs.arguments import Arguments, outputs_folder
from genrun.verbs.list import described


def main(arguments: list[str]) -> int:
    """Print what is known of a run."""
    parser = Arguments("genrun show", description="Show the state, the table of metrics and the final grid of a run.")
    parser.add_argument("words", nargs="*", metavar="RUN", help="a folder, an id, its beginning, last or best (default: last)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_intermixed_args(arguments)
    words, outputs = outputs_folder(asked.words)
    if len(words) > 1:
        parser.error(f"expected one run, got {len(words)}")
    run = read_summary(find_run(words[0] if words else "last", outputs))
    if run.state == "new":
        from genrun.errors import Refused

        raise Refused(f"{run.folder.path}: expected a run folder (with status.json), found none there")
    if asked.json:
        print(json.dumps(described(run), indent=2, ensure_ascii=False))
        return 0
    show(run)
    return 0


def show(run: RunSummary) -> None:
    """Print the state, the command, the table and the grid of a run."""
    console = screen()
    say(console, f"{run.model} on {run.data}, {run.name}: {state_line(run)}")
    if run.overrides:
        say(console, f"genrun {' '.join(run.overrides)}")
    if run.rows:
        show_results(run.results, console)
    grid = run.folder.samples / "final.png"
    say(console, f"\nrun folder  {run.folder.path}")
    if grid.is_file() and not show_picture(grid.read_bytes()):
        say(console, f"grid        {grid}")


def state_line(run: RunSummary) -> str:
    """Describe how far a run is, and why it stopped."""
    epoch = f", epoch {run.status['epoch']}" if "epoch" in run.status else ""
    error = f": {run.status['error']}" if run.state in ("failed", "interrupted") and run.status.get("error") else ""
    return f"{run.state}{epoch}{error}"


def show_picture(png: bytes) -> bool:
    """Show a PNG in a terminal that can (kitty's or iTerm2's protocol); return whether it could."""
    if not sys.stdout.isatty():
        return False
    text = base64.standard_b64encode(png).decode()
    if os.environ.get("TERM_PROGRAM") in ("iTerm.app", "WezTerm"):
        print(f"\033]1337;File=inline=1;size={len(png)}:{text}\a")
        return True
    if "KITTY_WINDOW_ID" in os.environ or os.environ.get("TERM_PROGRAM") == "ghostty":
        parts = [text[start : start + 4096] for start in range(0, len(text), 4096)]
        for number, part in enumerate(parts):
            first = "a=T,f=100," if number == 0 else ""
            print(f"\033_G{first}m={int(number < len(parts) - 1)};{part}\033\\", end="")
        print()
        return True
    return False
