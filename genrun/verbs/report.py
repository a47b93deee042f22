"""`genrun report RUNS…`: one HTML file about some runs, for a colleague's browser."""

from __future__ import annotations

import io
import os
from argparse import Namespace
from pathlib import Path

from genrun.errors import Refused
from genrun.runs.find import find_runs
from genrun.system.console import say, screen
from genrun.system.files import write_atomic
from genrun.verbs.arguments import RUNS, Arguments, output_path, outputs_folder

MARK = b'<meta name="generator" content="genrun '  # in the first bytes of a page of genrun's


def main(arguments: list[str]) -> int:
    """Write the report."""
    asked, outputs = parse(arguments)
    check_free(asked.out)
    runs, broken = find_runs(asked.runs, outputs)
    if not runs:
        raise Refused(f"there are no such runs in {outputs}" + "".join(f"; {line}" for line in broken))

    from genrun.report.page.page import report_page

    console = screen(error=True)
    page, left_out = report_page(runs, broken, full=asked.full, console=console, outputs=outputs)
    for line in left_out:
        say(console, f"left out: {line}")
    try:
        write_atomic(asked.out, page)
    except OSError as error:
        raise Refused(f"cannot write {asked.out}: {error.strerror}") from error
    print(f"{asked.out}  {asked.out.stat().st_size / 1e6:.2g} MB")
    return 0


def parse(arguments: list[str]) -> tuple[Namespace, Path]:
    """Parse the command line; return the options, and the folder of outputs.

    Raises:
        Refused: an option is wrong.
    """
    parser = Arguments(
        "genrun report",
        description="Write one HTML file about some runs: leaderboard, samples epoch by epoch, curves, figures, metrics and "
        "configurations. It needs no network and no server, so it can be mailed. Unfinished runs are shown with their state.",
    )
    parser.add_argument("runs", nargs="*", metavar="RUN", help=RUNS)
    parser.add_argument(
        "--out", "-o", default="report.html", help="the file (default: report.html); an earlier report is replaced"
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="keep the pictures as they are, also those shown in another way",
    )
    asked = parser.parse_intermixed_args(arguments)
    asked.out = output_path(asked.out, (".html", ".htm"))
    asked.runs, outputs = outputs_folder(asked.runs)
    return asked, outputs


def check_free(out: Path) -> None:
    """Check that the file does not exist, or is a page that genrun wrote.

    Raises:
        Refused: it is something else.
    """
    if not os.path.lexists(out):
        return
    try:
        known = out.is_file() and not out.is_symlink()
        with open(out, "rb") if known else io.BytesIO() as file:
            known = MARK in file.read(1000)
    except OSError:
        known = False
    if not known:
        raise Refused(f"--out {out} exists already and is no report of genrun; choose another name")
