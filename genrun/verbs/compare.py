"""`genrun compare RUNS…`: the leaderboard of finished runs."""

from __future__ import annotations

import csv
import io
import json
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from genrun.errors import Refused
from genrun.report.compare import option_text
from genrun.report.leaderboard import Line, best_lines, floor_metrics, leaderboard, wanted_columns
from genrun.report.tables import markdown, number, table
from genrun.runs.find import RunSummary, find_run, matching, read_summary, runs_below
from genrun.system.console import say, screen
from genrun.system.files import write_atomic
from genrun.verbs.arguments import Arguments, output_path, outputs_folder

LONGEST = 24  # letters of a setting on the screen
FORMATS = {".md": "Markdown", ".csv": "CSV", ".tex": "LaTeX", ".json": "JSON"}
LATEX = str.maketrans({char: f"\\{char}" for char in "&%$#_{}"} | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"})


def main(arguments: list[str]) -> int:
    """Print the leaderboard, or write it to a file."""
    asked, outputs = parse(arguments)
    runs, broken = chosen_runs(asked.runs, outputs)
    unfinished = [run.name for run in runs if run.state != "done"]
    runs = [run for run in runs if run.state == "done" and run.rows]
    if not runs:
        raise Refused(f"there is no finished run with a table of metrics{f' among {len(unfinished)} runs' if unfinished else f' in {outputs}'}")
    board = Board(runs, asked)
    if asked.out:
        write_atomic(asked.out, board.as_text(asked.out.suffix))
        print(asked.out)
    elif asked.json:
        print(board.as_text(".json"), end="")
    else:
        board.print(screen())
    notes = [f"left out: {', '.join(unfinished)} (not finished)"] if unfinished else []
    for text in [*notes, *(f"left out: {reason}" for reason in broken), *board.warnings()]:
        say(screen(error=True), text)
    return 0


def parse(arguments: list[str]) -> tuple[Namespace, Path]:
    parser = Arguments(
        "genrun compare",
        description="Compare finished runs: a line for all runs that differ only in their seed, with mean ± standard deviation. "
        "RUN is a folder, an id, its beginning, last, best, a folder with runs below it, or option=value for all runs with this value.",
    )
    parser.add_argument("runs", nargs="*", metavar="RUN", help="default: all runs in paths.outputs")
    parser.add_argument("--runs", dest="each", action="store_true", help="a line for each run")
    parser.add_argument("--by", default="", help="options that make the lines, such as model or model,data.limit")
    parser.add_argument("--columns", default="", help="metrics to show, separated by commas")
    parser.add_argument("--sort", help="a metric to sort by, the best first (default: by the options)")
    parser.add_argument("--out", help=f"a file: {', '.join(f'{ending} ({name})' for ending, name in FORMATS.items())}")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_intermixed_args(arguments)
    asked.out = output_path(asked.out, tuple(FORMATS)) if asked.out else None
    asked.by, asked.columns = ([part for part in text.split(",") if part] for text in (asked.by, asked.columns))
    asked.runs, outputs = outputs_folder(asked.runs)
    return asked, outputs


def chosen_runs(words: Sequence[str], outputs: Path) -> tuple[list[RunSummary], list[str]]:
    """Return the runs that the words of the command name, and a line for each folder that cannot be read.

    Raises:
        Refused: a word names no run.
    """
    conditions = [word for word in words if "=" in word and not word.startswith("best:") and not Path(word).exists()]
    named, broken, found = [word for word in words if word not in conditions], [], []
    if not named:
        found, broken = runs_below(outputs)
    for word in named:
        path = find_run(word, outputs)
        if (path / "status.json").is_file():
            found.append(read_summary(path))
            continue
        below = [runs_below(folder) for folder in (path, path.parent)]
        inside = [run for run in below[0][0]] or [run for run in below[1][0] if run.folder.path.parent == path]
        if not inside:
            raise Refused(f"{word}: expected a run folder or a folder with runs, found none there")
        found += inside
        broken += [line for _, lines in below for line in lines if line.startswith(str(path))]
    return matching(found, conditions), broken


class Board:
    """The leaderboard of some runs, as a table for the screen or as text.

    Args:
        runs: finished runs.
        asked: the options `by`, `each`, `columns`, `sort`.
    """

    def __init__(self, runs: list[RunSummary], asked: Namespace) -> None:
        self.runs = runs
        self.lines = leaderboard(runs, by=asked.by, each=asked.each)
        self.columns = wanted_columns(self.lines, asked.columns)
        self.floors = floor_metrics(runs)
        self.settings = list(self.lines[0].settings)
        if asked.sort:
            (metric,) = wanted_columns(self.lines, [asked.sort]).values()
            self.lines = sorted(self.lines, key=lambda line: self.rank(line, metric))

    def rank(self, line: Line, metric: str) -> float:
        """Return the place of a line by a metric, the best first; lines without the metric come last."""
        if metric not in line.metrics:
            return float("inf")
        best = best_lines(self.lines, metric, self.floors.get(metric))
        mean = line.metrics[metric].mean
        return abs(mean - best[0].metrics[metric].mean) if best else mean

    def headings(self) -> list[str]:
        """Return the headings of the columns that name a line."""
        named = [key for key in ("model", "data") if key in self.settings]
        return [*named, *(["settings"] if len(named) < len(self.settings) or not named else [])]

    def label(self, line: Line) -> list[str]:
        """Return the texts that name a line: its model and data, and the other options in one text."""
        named = [key for key in ("model", "data") if key in self.settings]
        others = [
            f"{key.rpartition('.')[2]}={short(value)}"
            for key, value in line.settings.items()
            if key not in named and value is not None
        ]
        text = [" ".join(others) or ("" if named else line.runs[0].name)] if "settings" in self.headings() else []
        return [*(option_text(line.settings[key]) for key in named), *text]

    def texts(self, mark: str = "{}") -> tuple[list[str], list[list[str]]]:
        """Return headings and rows of texts, with the values of real images first.

        Args:
            mark: how the best value of a column is written, such as `**{}**`.
        """
        best = {metric: best_lines(self.lines, metric, self.floors.get(metric)) for metric in self.columns.values()}
        rows = []
        if any(metric in self.floors for metric in self.columns.values()):
            floors = [number(self.floors[metric]) if metric in self.floors else "" for metric in self.columns.values()]
            rows.append(["real images", *[""] * (len(self.headings()) - 1), "", *floors])
        for line in self.lines:
            values = []
            for metric in self.columns.values():
                text = str(line.metrics[metric]) if metric in line.metrics else "–"
                values.append(mark.format(text) if line in best[metric] else text)
            rows.append([*self.label(line), str(len(line.runs)), *values])
        return [*self.headings(), "runs", *self.columns], rows

    def print(self, console: Console) -> None:
        headings, rows = self.texts(mark="\0{}")
        shown = table(None, [*headings, ""], [])
        for row in rows:
            cells = [Text(cell.lstrip("\0"), style="bold green" if cell.startswith("\0") else "") for cell in row]
            shown.add_row(*cells, "")
        console.print(shown)

    def as_text(self, ending: str) -> str:
        """Return the leaderboard as a file with this ending holds it."""
        if ending == ".json":
            return json.dumps([self.described(line) for line in self.lines], indent=2, ensure_ascii=False) + "\n"
        if ending == ".csv":
            return self.as_csv()
        if ending == ".md":
            return markdown("Runs", *self.texts("**{}**"), notes=False)
        headings, rows = self.texts("\0{}")
        cells = [
            [f"\\textbf{{{latex(cell[1:])}}}" if cell.startswith("\0") else latex(cell) for cell in row] for row in rows
        ]
        body = "\n".join(f"{' & '.join(row)} \\\\" for row in [[latex(one) for one in headings], *cells])
        first, _, rest = body.partition("\n")
        columns = "l" * len(self.headings()) + "r" * (len(headings) - len(self.headings()))
        return f"\\begin{{tabular}}{{{columns}}}\n\\hline\n{first}\n\\hline\n{rest}\n\\hline\n\\end{{tabular}}\n"

    def as_csv(self) -> str:
        """Return a line for each line of the leaderboard, with mean and deviation of all metrics in full precision."""
        names = list(dict.fromkeys(name for line in self.lines for name in line.metrics))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*(self.settings or ["run"]), "runs", *(part for name in names for part in (name, f"{name}, deviation"))])
        for line in self.lines:
            values: list[Any] = []
            for name in names:
                metric = line.metrics.get(name)
                values += ["", ""] if metric is None else [metric.mean, "" if metric.deviation is None else metric.deviation]
            label = [option_text(value) for value in line.settings.values()] or [line.runs[0].name]
            writer.writerow([*label, len(line.runs), *values])
        return text.getvalue()

    def described(self, line: Line) -> dict[str, Any]:
        """Return a line for JSON."""
        return {
            "settings": line.settings,
            "runs": [str(run.folder.path) for run in line.runs],
            "seeds": [run.option("seed") for run in line.runs],
            "metrics": {
                name: {"mean": metric.mean, "deviation": metric.deviation, "runs": metric.runs}
                for name, metric in line.metrics.items()
            },
        }

    def warnings(self) -> list[str]:
        """Return what makes the lines hard to compare: other data, or another judge."""
        found = []
        if len(data := sorted({run.data for run in self.runs})) > 1:
            found.append(f"these runs have different data ({', '.join(data)}): their distances cannot be compared")
        judges = {(run.data, json.dumps(run.results.get("features"), sort_keys=True)) for run in self.runs}
        if len(judges) > len(data):
            found.append("these runs were judged by different classifiers: `genrun evaluate RUN …` judges them by the same one")
        return found


def short(value: Any) -> str:
    """Format a setting in a few letters; a long list or part is only named."""
    if isinstance(value, list | dict) and len(str(value)) > LONGEST:
        return f"{len(value)} entries"
    text = option_text(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def latex(text: str) -> str:
    """Escape a text for LaTeX."""
    return text.translate(LATEX).replace("±", r"$\pm$").replace("–", "--")
