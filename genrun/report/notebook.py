"""Runs as Python shows them: metrics by name, as a DataFrame, and a run as a table with its grid of samples in a notebook."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genrun.config.extras import to_install
from genrun.errors import Refused, nearest, one_line, printable
from genrun.report.groups import groups, not_measured
from genrun.report.tables import HEADINGS, lines
from genrun.report.verdict import verdict
from genrun.runs.find import as_text, matching
from genrun.runs.open import OpenRun
from genrun.runs.summary import runs_below, state_of
from genrun.system.files import PNG, read_inside

if TYPE_CHECKING:
    from pandas import DataFrame

LARGEST_GRID = 2**23  # bytes of a picture that is put into a notebook
COLUMNS = {  # column of the DataFrame → entry of a row of results.json
    "value": "value",
    "spread": "spread",
    "real": "floor",
    "best": "best",
    "protocol": "protocol",
    "note": "note",
}


class Results(Mapping[str, float | str | None]):
    """The metrics of a run by name, in the order of its table: `results["coverage (observer)"]`.

    Attributes:
        record: the content of results.json, with the spread, the value of real images and the note of each metric.
    """

    def __init__(self, record: dict[str, Any]) -> None:
        self.record = record
        self._values = {row["name"]: row["value"] for row in record["rows"]}

    def __getitem__(self, name: str) -> float | str | None:
        if name not in self._values:
            raise KeyError(f"there is no metric {name!r}{nearest(str(name), self._values)}")
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Results({self._values!r})"

    @property
    def verdict(self) -> str:
        """One plain sentence: how good, how varied and how original the samples are; empty if nothing was measured that says it."""
        return verdict(self.record)

    def frame(self) -> DataFrame:
        """Return the table as a DataFrame: a row for each metric, with its value, its spread, and `real`: the value of real images.

        Raises:
            Refused: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise Refused(f"a DataFrame needs pandas: {to_install('notebook')}") from None
        rows = self.record["rows"]
        table = {column: [row.get(entry) for row in rows] for column, entry in COLUMNS.items()}
        frame = pandas.DataFrame(table, index=pandas.Index([row["name"] for row in rows], name="metric"))
        return frame.astype({"spread": float, "real": float})


class NotebookRun(OpenRun):
    """A run folder, opened for reading, that a notebook shows as a table and a grid of samples."""

    def results(self) -> Results:
        """Return the metrics of the run by name.

        Raises:
            Refused: it was not judged yet, or results.json is damaged.
        """
        return Results(self.folder.results())

    @property
    def state(self) -> str:
        """The state when the run was opened: `done`, `running`, `interrupted` or `failed`."""
        return state_of(self.folder, self.status)

    def __repr__(self) -> str:
        return f"<run {printable(str(self.folder.path))}: {printable(self.state)}>"

    def _repr_html_(self) -> str:
        """Return the state, the verdict, the grid of samples and the table as HTML, in which nothing of the run folder is read as HTML."""
        try:
            results = self.folder.results()
            said, below = verdict(results), html_table(results["rows"])
        except Refused as error:
            said, below = "", f"<p>{shown(one_line(error))}</p>"
        grid = picture(self.folder.samples / "final.png", self.folder.path)
        return (
            f"<p><b>{shown(self.folder.path)}</b>: {shown(self.state)}{'<br>' if said else ''}{shown(said)}</p>"
            f'<div style="display: flex; flex-wrap: wrap; gap: 1.5em; align-items: flex-start">{grid}<div>{below}</div></div>'
        )


def html_table(rows: list[dict[str, Any]]) -> str:
    """Return rows of results.json as an HTML table in groups, with a line for those that were not measured."""
    head, body = "".join(f"<th>{shown(heading)}</th>" for heading in HEADINGS), ""
    for group in groups(rows):
        body += f'<tr><th colspan="{len(HEADINGS)}" style="text-align: left">{shown(group.name)}</th></tr>'
        body += "".join(f"<tr>{''.join(f'<td>{shown(cell)}</td>' for cell in line)}</tr>" for line in lines(group.rows))
    missing = "".join(f"<p>{shown(line)}</p>" for line in not_measured(rows))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{missing}"


def shown(text: object) -> str:
    """Return a text for HTML."""
    return escape(printable(str(text)))


def picture(file: Path, folder: Path) -> str:
    """Return a PNG file as an HTML element that holds all of it; empty if it is no PNG, or a link leads out of the folder."""
    try:
        content = read_inside(file, folder, LARGEST_GRID)
    except OSError:
        return ""
    if not content.startswith(PNG):
        return ""
    data = base64.b64encode(content).decode()
    return f'<img src="data:image/png;base64,{data}" alt="samples" style="max-width: 30em">'


def open_run(path: str | Path) -> NotebookRun:
    """Open a run folder for reading.

    Raises:
        Refused: it is not a run folder, its configuration cannot be read or is incomplete, or it has a later format.
    """
    return NotebookRun(path)


def runs_in(outputs: str | Path, conditions: Sequence[str], options: Mapping[str, Any]) -> list[NotebookRun]:
    """Return the runs below a folder of outputs that fulfil all conditions, the newest first. A damaged one is left out with a warning.

    Args:
        conditions: see `genrun.runs.find.matching`.
        options: dotted key → its value, or a list of values.

    Raises:
        Refused: there is no such folder, or no run has such an option.
    """
    folder = Path(outputs).expanduser()
    if not folder.is_dir():
        raise Refused(f"{outputs}: there is no such folder of runs")
    found, broken = runs_below(folder)
    of_options = [
        f"{key}={','.join(map(as_text, value if isinstance(value, list | tuple) else [value]))}"
        for key, value in options.items()
    ]
    made = []
    for summary in matching(found, [*conditions, *of_options]):
        try:
            made.append(NotebookRun(summary.folder.path, lazy=True))
        except Refused as error:
            broken.append(str(error))
    for reason in broken:
        warnings.warn(f"left out: {printable(reason)}", stacklevel=3)
    return made
