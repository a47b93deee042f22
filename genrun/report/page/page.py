"""The page of a report: everything that the template shows, put together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import genrun
from genrun.errors import Refused, printable
from genrun.report.page.charts import CONFIG, Chart, libraries, svg
from genrun.report.page.leaderboards import leaderboards
from genrun.report.page.reproductions import reproductions
from genrun.report.page.runs import Budget, ReportedRun, read_pictures, read_run
from genrun.report.render import read_template, render, sentence
from genrun.runs.summary import RunSummary
from genrun.system.console import with_progress
from genrun.system.files import now

# bytes of pictures: of one run, and of all runs together, so that a report can be mailed
RUN_FRAMES, RUN_FIGURES = 2_000_000, 600_000
ALL_FRAMES, ALL_FIGURES = 7_000_000, 5_000_000
MOST_BESIDE = 3  # runs side by side at first
OPEN = 2  # so many runs are open when the page opens


def report_page(
    summaries: Sequence[RunSummary],
    broken: Sequence[str],
    *,
    full: bool,
    console: Console,
    outputs: Path | None = None,
) -> tuple[str, list[str]]:
    """Return a page about some runs, and a line for each run that is left out.

    Args:
        summaries: the runs, finished or not.
        broken: a line for each folder that could not be read.
        full: keep the pictures as their files hold them.
        console: for the progress.
        outputs: the folder of all runs, where reproductions stand.

    Raises:
        Refused: no run can be read.
    """
    runs: list[ReportedRun] = []
    left_out = list(broken)
    ordered = sorted(summaries, key=lambda run: (run.state != "done", run.data, run.model, run.started))
    for summary in ordered:
        try:
            runs.append(read_run(summary, len(runs) + 1))
        except Refused as error:
            left_out.append(str(error))
    if not runs:
        raise Refused(f"there is no run to report; {'; '.join(left_out)}" if left_out else "there is no run to report")
    budget = (
        None if full else Budget(min(RUN_FRAMES, ALL_FRAMES // len(runs)), min(RUN_FIGURES, ALL_FIGURES // len(runs)))
    )
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # encoding a picture leaves the interpreter free
        read = pool.map(lambda run: read_pictures(run, budget), runs)
        for _ in with_progress(
            read, len(runs), f"reading the pictures of {len(runs)} run{'s' if len(runs) > 1 else ''}", console
        ):
            pass
    reproduced: list[dict[str, Any]] = []
    if outputs is not None:
        places = [str(run.summary.folder.path.resolve()) for run in runs]
        reproduced, broken_records = reproductions(outputs / "reproductions", places)
        left_out += broken_records
    charts = Charts()
    with_frames = [run for run in runs if len(run.frames) > 1]
    content = {
        "title": title_of(runs),
        "lead": lead_of(runs),
        "runs": runs,
        "leaderboards": leaderboards(runs),
        "reproductions": reproduced,
        "left_out": left_out,
        "made": now(),
        "version": genrun.__version__,
        "full": full,
        "open": len(runs) <= OPEN,
        "with_frames": with_frames,
        "chosen": beside_first(with_frames),
        "compared": {
            run.place: (other, differences(run, other)) for run, other in zip(runs, neighbours(runs), strict=False)
        },
        "draw": charts.draw,
        "data": lambda: {
            "charts": charts.specs,
            "config": CONFIG,
            "names": {str(run.place): printable(run.label) for run in runs},
            "options": {str(run.place): run.options for run in runs} if len(runs) > 1 else {},
        },
    }
    scripts = [read_template("report.js")]
    if any(run.charts for run in runs) or any(one.charts for one in content["leaderboards"]):
        scripts.insert(0, libraries())
    return render("report.html", scripts=scripts, **content), left_out


class Charts:
    """The charts that a page has drawn so far, for the script that makes them live."""

    def __init__(self) -> None:
        self.specs: dict[str, Any] = {}

    def draw(self, chart: Chart) -> dict[str, str]:
        """Return a chart as SVG and its number."""
        number = f"chart-{len(self.specs) + 1}"
        self.specs[number] = chart.spec(live=True)
        return {"number": number, "svg": svg(chart)}


def title_of(runs: Sequence[ReportedRun]) -> str:
    """Return the title of the page: the run, or how many there are and of what."""
    if len(runs) == 1:
        return runs[0].title
    data = list(dict.fromkeys(run.summary.data for run in runs))
    return f"{len(runs)} runs on {' and '.join([', '.join(data[:-1]), data[-1]] if len(data) > 1 else data)}"


def lead_of(runs: Sequence[ReportedRun]) -> str:
    """Return what the page says below its title: the verdict on a run, or the states of several."""
    if len(runs) == 1:
        return sentence(runs[0].verdict or runs[0].state_text)
    methods = list(dict.fromkeys(run.summary.model for run in runs))
    states = [run.state for run in runs]
    counts = [f"{states.count(state)} {state}" for state in dict.fromkeys(states)]
    return f"{', '.join(methods)}; {', '.join(counts)}."


def beside_first(runs: Sequence[ReportedRun]) -> list[ReportedRun]:
    """Return the runs that stand side by side at first: of the data of the first one, and not the same with another seed."""
    groups = {}
    for run in runs:
        if run.summary.data == runs[0].summary.data:
            groups.setdefault(str(run.summary.status.get("group_id")), run)
    return list(groups.values())[:MOST_BESIDE] if len(groups) > 1 else list(runs[:MOST_BESIDE])


def neighbours(runs: Sequence[ReportedRun]) -> list[ReportedRun]:
    """Return for each run the one whose configuration is nearest: with the fewest differences. Empty if there is only one run."""
    if len(runs) < 2:
        return []
    keys = dict.fromkeys(key for run in runs for key in run.options)
    codes: dict[str | None, int] = {}  # numbers compare faster than texts, and all pairs of runs are compared
    table = np.array(
        [[codes.setdefault(run.options.get(key), len(codes)) for key in keys] for run in runs], dtype=np.int32
    )
    found = []
    for place, row in enumerate(table):
        different = (table != row).sum(axis=1)
        different[place] = len(keys) + 1  # not itself
        found.append(runs[int(different.argmin())])
    return found


def differences(run: ReportedRun, other: ReportedRun) -> list[tuple[str, str, str]]:
    """Return the options in which two runs differ: name, value here, value there."""
    here, there = run.options, other.options
    return [
        (key, here.get(key, "–"), there.get(key, "–")) for key in {**here, **there} if here.get(key) != there.get(key)
    ]
