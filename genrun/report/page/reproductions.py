"""The page's part about reproductions: what `genrun reproduce` found, document by document."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from genrun.errors import Refused
from genrun.report.page.pictures import FIGURES, figure_picture
from genrun.report.reproduction import RECORD
from genrun.runs.records import read_json


def reproductions(folder: Path, runs: Collection[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the records of the reproductions that used a run of the page, with their pictures, and a line for each that cannot be read.

    Args:
        folder: `<outputs>/reproductions`.
        runs: the resolved folders of the runs of the page.
    """
    found, left_out = [], []
    for file in sorted(folder.glob("*.json")):
        try:
            content = read_json(file, RECORD, f"genrun reproduce {file.stem} --check makes it again")
            if not {str(Path(run).resolve()) for run in content["runs"]} & set(runs):
                continue
            for figure in content["figures"]:
                figure["picture"] = figure_picture(folder, folder / figure["file"], *FIGURES[0])
            found.append(content)
        except Refused as error:
            left_out.append(str(error))
    return sorted(found, key=lambda one: (one["document"], one["target"])), left_out
