"""`genrun compare RUNS…`: the leaderboard of finished runs."""

from __future__ import annotations

import io
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from genrun.errors import Refused
from genrun.report.board import FORMATS, Board
from genrun.report.leaderboard import SECONDS, Line, cautions, comparable, leaderboard
from genrun.runs.find import distance_of, find_runs
from genrun.system.console import print_json, say, screen
from genrun.system.files import write_atomic
from genrun.verbs.arguments import RUNS, Arguments, check_new, output_path, outputs_folder


def main(arguments: list[str]) -> int:
    """Print the leaderboard, or write it to files."""
    asked, outputs = parse(arguments)
    runs, broken = find_runs(asked.runs, outputs)
    done, left_out = comparable(runs)
    left_out += broken
    if not done:
        where = f"among {', '.join(asked.runs)}" if asked.runs else f"in {outputs}"
        raise Refused(f"no finished run with a table of metrics {where}{f' ({left_out[0]})' if left_out else ''}")
    for out in asked.out:
        check_new(out)
    board = Board(leaderboard(done, by=asked.by, each=asked.each), asked.columns, asked.sort)
    console = screen()
    if asked.json:
        print_json(board.record())
    elif not asked.out:
        console.print(board.on_screen())
    for out in asked.out:
        content = plot(board.lines, out) if out.suffix == ".png" else board.as_text(out.suffix)
        try:
            write_atomic(out, content)
        except OSError as error:
            raise Refused(f"cannot write {out}: {error.strerror}") from error
        say(console, str(out))
    for text in [*(f"left out: {reason}" for reason in left_out), *cautions(done)]:
        say(screen(error=True), text)
    return 0


def parse(arguments: list[str]) -> tuple[Namespace, Path]:
    parser = Arguments(
        "genrun compare",
        description="Compare finished runs: a line for all runs that differ only in their seed, with mean ± standard deviation. "
        "The best of a column has a star.",
    )
    parser.add_argument("runs", nargs="*", metavar="RUN", help=RUNS)
    parser.add_argument("--runs", dest="each", action="store_true", help="a line for each run")
    parser.add_argument("--by", default="", help="options that make the lines, such as model or model,data.limit")
    parser.add_argument("--columns", default="", help="metrics to show, such as Fréchet,coverage,training, s")
    parser.add_argument("--sort", help="a metric to sort by, the best first (default: by the options)")
    files = ", ".join(f"{ending} ({name})" for ending, name in FORMATS.items())
    parser.add_argument(
        "--out",
        action="append",
        default=[],
        help=f"a file: {files}, or .png (plot of quality against time); again for more",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_intermixed_args(arguments)
    asked.out = [output_path(name, (*FORMATS, ".png")) for name in asked.out]
    asked.by = [part.strip() for part in asked.by.split(",") if part.strip()]
    if asked.columns and asked.json and not asked.out:
        raise Refused("--columns: --json has all metrics; leave one of them out")
    asked.columns = column_names(asked.columns)
    asked.runs, outputs = outputs_folder(asked.runs)
    return asked, outputs


def column_names(text: str) -> list[str]:
    """Split names at commas; `training, s` is one name, because a comma in a name has a space behind it."""
    names: list[str] = []
    for part in text.split(","):
        if names and part.startswith(" "):
            names[-1] += f",{part}"
        elif part:
            names.append(part.strip())
    return names


def plot(lines: Sequence[Line], out: Path) -> bytes:
    """Return a PNG of the distance to real images against the training time, a point for each line.

    Args:
        out: the file that it is for, for the error message.

    Raises:
        Refused: no line has both.
    """
    from genrun.figures.tradeoff import tradeoff
    from genrun.report.board import data_of, line_labels

    labels = [", ".join(label) for label in line_labels(lines)[1]]
    distance = distance_of(run for line in lines for run in line.runs)
    points = {
        label: tuple((line.metrics[name].mean, line.metrics[name].deviation or 0.0) for name in (SECONDS, distance))
        for label, line in zip(labels, lines, strict=True)
        if {SECONDS, distance} <= line.metrics.keys()
    }
    if len({data_of(line) for line in lines}) > 1:
        raise Refused(f"--out {out}: distances on different data cannot be compared; add data=… to plot one")
    if not points:
        raise Refused(f"--out {out}: no run has both {SECONDS} and {distance}; nothing to draw")
    image = io.BytesIO()
    tradeoff(points, "training, seconds", distance).save(image, "PNG", optimize=True)
    return image.getvalue()
