"""`genrun show RUN`: the state, the table and the final grid of a run."""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path

from genrun.report.tables import show as show_table
from genrun.runs.find import find_run
from genrun.runs.summary import RunSummary, read_summary
from genrun.stages.keys import older_table
from genrun.system.console import print_json, say, screen
from genrun.system.files import PNG, read_inside
from genrun.verbs.arguments import RUN, Arguments, outputs_folder
from genrun.verbs.list import described

LARGEST_PICTURE = 2**24  # bytes


def main(arguments: list[str]) -> int:
    """Print what is known of a run."""
    parser = Arguments("genrun show", description="Show the state, the table of metrics and the final grid of a run.")
    parser.add_argument("words", nargs="*", metavar="RUN", help=f"{RUN} (default: last)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_intermixed_args(arguments)
    words, outputs = outputs_folder(asked.words)
    if len(words) > 1:
        parser.error(f"expected one run, got {len(words)}")
    run = read_summary(find_run(words[0] if words else "last", outputs))
    if asked.json:
        print_json(described(run))
    else:
        show(run)
    return 0


def show(run: RunSummary) -> None:
    """Print the state, the command, the table and the grid of a run."""
    console = screen()
    say(console, f"{run.model} on {run.data}, {run.name}: {run.state_text}")
    say(console, " ".join(["genrun", *run.overrides]))
    if run.rows:
        show_table(run.folder, console)
        if notice := older_table(run.folder):
            say(console, notice)
    else:
        say(console, f"run folder  {run.folder.path}")
    show_picture(run.folder.samples / "final.png", run.folder.path)


def show_picture(file: Path, folder: Path) -> None:
    """Show a PNG of a folder in a terminal that can, by the protocol of iTerm2 or of kitty; elsewhere nothing is shown."""
    program = os.environ.get("TERM_PROGRAM", "")
    iterm = program in ("iTerm.app", "WezTerm")
    kitty = "KITTY_WINDOW_ID" in os.environ or program == "ghostty"
    if not sys.stdout.isatty() or not (iterm or kitty):
        return
    try:
        png = read_inside(file, folder, LARGEST_PICTURE)
    except OSError:
        return
    if not png.startswith(PNG):
        return
    text = base64.standard_b64encode(png).decode()
    if iterm:
        print(f"\033]1337;File=inline=1;size={len(png)}:{text}\a")
        return
    parts = [text[start : start + 4096] for start in range(0, len(text), 4096)]
    for number, part in enumerate(parts):
        first = "a=T,f=100," if number == 0 else ""
        print(f"\033_G{first}m={int(number < len(parts) - 1)};{part}\033\\", end="")
    print()
