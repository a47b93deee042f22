"""The leaderboard as a table for the screen, Markdown, CSV, LaTeX and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from html import escape
from typing import Any

from genrun.errors import printable
from genrun.report.compare import option_labels, option_text, short_names
from genrun.report.leaderboard import Line, best_lines, floor_metrics, ranked, wanted_columns
from genrun.report.screen import ScreenTable
from genrun.report.tables import markdown, number, table

MOST_OPTIONS = 4  # more options of a line stand together in one text
FORMATS = {".md": "Markdown", ".csv": "CSV", ".tex": "LaTeX", ".json": "JSON"}
_LATEX = str.maketrans(
    {char: f"\\{char}" for char in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--"}
)


class Board:
    """The lines of a leaderboard with the columns to show.

    Args:
        lines: at least one.
        columns: metrics to show, see `wanted_columns`.
        sort: a metric to sort by; None: leave the order.

    Raises:
        Refused: there is no such metric.
    """

    def __init__(self, lines: Sequence[Line], columns: Sequence[str] = (), sort: str | None = None) -> None:
        self.columns = wanted_columns(lines, columns)
        self.of_data: dict[str, list[Line]] = {}  # distances on different data cannot be compared
        for line in lines:
            self.of_data.setdefault(data_of(line), []).append(line)
        self.floors = {
            data: floor_metrics([run for one in of for run in one.runs]) for data, of in self.of_data.items()
        }
        self.lines = list(lines)
        if sort is not None:
            (metric,) = wanted_columns(lines, [sort]).values()
            self.lines = [line for data, of in self.of_data.items() for line in ranked(of, metric, self.floors[data])]
        self.keys, self.labels = line_labels(self.lines)

    def texts(self, best: str) -> tuple[list[str], list[list[str]]]:
        """Return the headings and the cells of a table, with the values of real images first.

        Args:
            best: how the best value of a column is written, such as `**{}**`.
        """
        winners: dict[str, list[Line]] = {name: [] for name in self.columns.values()}
        rows = []
        for data, of in self.of_data.items():
            floors = self.floors[data]
            for name in winners:
                winners[name] += best_lines(of, name, floors.get(name))
            if floors.keys() & winners.keys():
                named = "data" in self.keys[1:]
                label = [data if key == "data" else "" for key in self.keys[1:]]
                real = "real images" if named or len(self.of_data) == 1 else f"real images, {data}"
                rows.append([real, *label, "", *(number(floors[name]) if name in floors else "" for name in winners)])
        for line, label in zip(self.lines, self.labels, strict=True):
            cells = []
            for name in self.columns.values():
                text = str(line.metrics[name]) if name in line.metrics else "–"
                cells.append(best.format(text) if line in winners[name] else text)
            rows.append([*label, str(len(line.runs)), *cells])
        return [*self.keys, "runs", *self.columns], rows

    def on_screen(self) -> ScreenTable:
        """Return the table for the screen; the best of a column has a star."""
        headings, rows = self.texts("{}*")
        return table(None, [*headings, ""], [[*row, ""] for row in rows], keys=len(self.keys))

    def as_text(self, ending: str, title: str = "Leaderboard") -> str:
        """Return the leaderboard as the file with this ending holds it, see `FORMATS`."""
        makers = {".md": self.as_markdown, ".csv": self.as_csv, ".tex": self.as_latex, ".json": self.as_json}
        text = makers[ending](title)
        return text if ending == ".json" else printable(text)  # JSON writes control characters out itself

    def as_markdown(self, title: str) -> str:
        # a stranger's run may name HTML
        return escape(markdown(title, *self.texts("**{}**"), notes=False), quote=False)

    def as_latex(self, title: str) -> str:
        """Return a tabular; the title is a comment above it."""
        headings, rows = self.texts("\0{}")
        cells = [[latex(heading) for heading in headings]]
        cells += [
            [f"\\textbf{{{latex(cell[1:])}}}" if cell[:1] == "\0" else latex(cell) for cell in row] for row in rows
        ]
        head, *body = (f"{' & '.join(row)} \\\\" for row in cells)
        columns = "l" * len(self.keys) + "r" * (len(headings) - len(self.keys))
        lines = [f"% {' '.join(title.split())}", f"\\begin{{tabular}}{{{columns}}}", r"\hline", head, r"\hline", *body]
        return "\n".join([*lines, r"\hline", r"\end{tabular}"]) + "\n"

    def as_csv(self, title: str) -> str:
        """Return mean and deviation of all metrics in full precision; there is no place for a title."""
        names = list(dict.fromkeys(name for line in self.lines for name in line.metrics))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        pairs = [part for name in names for part in (harmless(name), harmless(f"{name}, deviation"))]
        writer.writerow([*self.lines[0].settings, "seeds", "runs", *pairs])
        for line in self.lines:
            values: list[Any] = []
            for name in names:
                metric = line.metrics.get(name)
                values += ["", ""] if metric is None else [metric.mean, metric.deviation]
            label = ["" if value is None else harmless(value) for value in line.settings.values()]
            writer.writerow([*label, " ".join(map(str, line.record()["seeds"])), len(line.runs), *values])
        return text.getvalue()

    def as_json(self, title: str) -> str:
        return json.dumps({"title": title, **self.record()}, indent=2, ensure_ascii=False) + "\n"

    def record(self) -> dict[str, Any]:
        """Return the leaderboard for JSON: the values of real images of each data set, and the lines."""
        return {"real": self.floors, "lines": [line.record() for line in self.lines]}


def data_of(line: Line) -> str:
    """Return the name of the data of a line's runs."""
    return ", ".join(sorted({run.data for run in line.runs}))


def line_labels(lines: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
    """Return headings and cells of the columns that name a line: one for each option, or one text for many options."""
    keys = list(lines[0].settings)
    if len(keys) <= MOST_OPTIONS:
        return short_names(keys), [[option_text(line.settings[key]) for key in keys] for line in lines]
    alone = [key for key in ("run", "model", "data") if key in keys]
    others = option_labels([{key: line.settings[key] for key in keys if key not in alone} for line in lines])
    cells = [
        [*(option_text(line.settings[key]) for key in alone), text] for line, text in zip(lines, others, strict=True)
    ]
    return [*alone, "settings"], cells


def latex(text: str) -> str:
    """Escape a text for LaTeX."""
    return text.translate(_LATEX)


def harmless(value: Any) -> Any:
    """Return a value for CSV; a spreadsheet would compute a text that begins like a formula, so it gets a quote in front."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
