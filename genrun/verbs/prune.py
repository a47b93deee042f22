"""`genrun prune RUN…`: delete what finished runs no longer need."""

from __future__ import annotations

from pathlib import Path

from genrun.errors import Refused
from genrun.runs.folder import RunFolder
from genrun.verbs.rm import delete, parse


def main(arguments: list[str]) -> int:
    """Delete the checkpoints of finished runs, and their earlier tables."""
    sure, folders = parse(
        "genrun prune",
        "Delete the checkpoints of finished runs and their earlier tables (results.old-N). Such a run keeps its weights: it can be opened, "
        "sampled and judged, but no longer be trained on (run.extend). genrun says how much that frees and asks first.",
        arguments,
    )
    return delete(folders, spare_parts, "the checkpoints and earlier tables of these runs", sure=sure)


def spare_parts(folder: Path) -> list[Path]:
    """Return the checkpoints and earlier tables of a finished run; the weights of its phases stay, and so does what a link leads to.

    Raises:
        Refused: the run is not finished.
    """
    if (state := RunFolder(folder).status()["state"]) != "done":
        advice = "it resumes from its checkpoints; genrun rm deletes it whole"
        raise Refused(f"{folder} is not finished ({state}): {advice}")
    found = [*(folder / "checkpoints").rglob("*.ckpt"), *folder.glob("results.old-*")]
    return sorted(part for part in found if part.parent.resolve().is_relative_to(folder.resolve()))
