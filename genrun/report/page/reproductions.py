"""The page's part about reproductions: what `genrun reproduce` found, document by document."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from genrun.errors import Refused, one_line
from genrun.report.page.pictures import FIGURES, Picture, figure_picture
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
            content = read_json(file, RECORD, "genrun reproduce … --check makes it again")
            if not {os.path.realpath(folder / run) for run in content["runs"]} & set(runs):
                continue
            pictures = [(figure, picture_of(figure, folder, left_out)) for figure in content["figures"]]
            content["figures"] = [{**figure, "picture": picture} for figure, picture in pictures if picture]
            found.append(content)
        except (Refused, OSError, ValueError) as error:
            left_out.append(f"{file}: {one_line(error)}")
    return sorted(found, key=lambda one: (one["document"], one["target"])), left_out


def picture_of(figure: dict[str, str], folder: Path, left_out: list[str]) -> Picture | None:
    """Return the picture of a figure; None if it cannot be read, which is added to the lines of what is left out."""
    try:
        return figure_picture(folder, folder / figure["file"], *FIGURES[-1])
    except Refused as error:
        left_out.append(str(error))
        return None
