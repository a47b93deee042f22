"""Read what a page shows of a run: its records, checked, and its pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from genrun.config.container import plain
from genrun.errors import Refused, printable
from genrun.report.captions import CAPTIONS, caption_of
from genrun.report.compare import described_run, dotted_options
from genrun.report.groups import groups, not_measured, short_name
from genrun.report.page.charts import Chart, curves
from genrun.report.page.pictures import Picture, exact, figure_pictures, frame_pictures, grid_picture, inside, thumbnail
from genrun.report.tables import BEST, lines
from genrun.report.verdict import verdict
from genrun.runs.records import LARGEST_YAML, read_config
from genrun.runs.summary import RunSummary
from genrun.system.files import read_regular

RECORDS = ("config.yaml", "status.json", "results.json", "provenance.json", "metrics.csv")
EPOCH = re.compile(r"epoch_(\d{1,9})\.png")


@dataclass(frozen=True)
class Budget:
    """How many bytes the pictures of a run may have; None: all that their files have."""

    frames: int
    figures: int


@dataclass
class ReportedRun:
    """A run as the page shows it.

    Args:
        place: its number in the page, from 1.
        summary: from the list of runs.
        config: its configuration as nested dictionaries.
        config_text: the same as its file has it.
        results, provenance: the contents of these records; empty if there are none.
        metrics: the rows of metrics.csv.
    """

    place: int
    summary: RunSummary
    config: dict[str, Any]
    config_text: str
    results: dict[str, Any]
    provenance: dict[str, Any]
    metrics: list[dict[str, Any]]
    final: Picture | None = None
    named_rows: bool = False
    thumb: Picture | None = None
    frames: list[tuple[int, Picture]] = field(default_factory=list)
    every_frame: int = 0
    figures: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        return f"{self.config['model']['name']} on {self.config['data']['name']}"

    @property
    def label(self) -> str:
        """What tells it from the other runs of the page."""
        return f"{self.title}, {self.name}, seed {self.seed}"

    @property
    def name(self) -> str:
        return self.summary.name

    @property
    def seed(self) -> int:
        return self.config["seed"]

    @property
    def state(self) -> str:
        return self.summary.state

    @property
    def state_text(self) -> str:
        """How far the run is, where it came from, and why it stopped."""
        return self.summary.state_text

    @property
    def verdict(self) -> str:
        return verdict(self.results) if self.results else ""

    @cached_property
    def charts(self) -> list[Chart]:
        return curves(self.metrics)

    @property
    def command(self) -> str:
        return " ".join(["genrun", *self.summary.overrides])

    @cached_property
    def options(self) -> dict[str, str]:
        """Everything that decides its result and how it was judged, as texts by dotted name, fit to be shown."""
        described = {
            **described_run(self.config),
            "evaluation": self.config["evaluation"],
            "sample": self.config["sample"],
        }
        return {printable(key): printable(str(value)) for key, value in dotted_options(described).items()}

    @property
    def metric_groups(self) -> list[tuple[str, list[dict[str, str]]]]:
        """The table of metrics: the name of each group, and its lines."""
        return [
            (group.name, [metric_line(row) for row in group.rows]) for group in groups(self.results.get("rows", []))
        ]

    @property
    def not_measured(self) -> list[str]:
        return not_measured(self.results.get("rows", []))

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Where the run comes from: when, on what, with which code and data."""
        made, status = self.provenance, self.summary.status
        git = made.get("git") or {}
        machine = {key: str(value) for key, value in (made.get("machine") or {}).items()}
        versions = {key: str(value) for key, value in (made.get("versions") or {}).items()}
        found = [
            ("run folder", self.name),
            ("state", self.state_text),
            ("started", self.summary.started),
            ("attempts", str(len(status["attempts"]))),
            ("code", f"{git['commit']}{' with changes' if git.get('dirty') else ''}" if git.get("commit") else ""),
            ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
            ("machine", ", ".join(f"{key} {value}" for key, value in machine.items())),
            ("device", str(made.get("device") or "")),
            ("data", f"{self.config['data']['name']}, {self.config['data']['facts']['train_size']:,} training images"),
            ("checksum of the data", self.config["data"]["facts"]["checksum"]),
            ("seed", str(self.seed)),
        ]
        return [(name, text) for name, text in found if text]


def metric_line(row: dict[str, Any]) -> dict[str, str]:
    """Format a row of results.json: name, value, floor, mark, notes."""
    ((_, value, floor, mark, note),) = lines([row])
    best = BEST.get(row.get("best", ""), "")
    return {"name": short_name(row["name"]), "best": best, "value": value, "floor": floor, "mark": mark, "note": note}


def read_run(summary: RunSummary, place: int) -> ReportedRun:
    """Read the records of a run.

    Raises:
        Refused: one is damaged, or is a link to a file outside of the run folder.
    """
    folder = summary.folder
    there = [
        folder.path / name for name in RECORDS if (folder.path / name).is_symlink() or (folder.path / name).exists()
    ]
    for file in there:
        inside(folder.path, file)
    config = plain(read_config(folder.path))
    text = read_regular(folder.path / "config.yaml", LARGEST_YAML).decode()
    results = folder.results() if folder.path / "results.json" in there else {}
    run = ReportedRun(place, summary, config, text, results, folder.provenance(), folder.metrics())
    try:
        run.options, run.metric_groups, run.facts, run.charts  # noqa: B018 - the records may lack what they need
    except (KeyError, TypeError, AttributeError, ArithmeticError, ValueError) as error:
        raise Refused(f"{folder.path}: its records are not those of a run ({error!r})") from error
    return run


def read_pictures(run: ReportedRun, budget: Budget | None) -> None:
    """Read the pictures of a run into it; what is no picture is named and left out.

    Args:
        budget: None: the pictures stay as they are.
    """
    path = run.summary.folder.path
    epochs = sorted(
        (int(found[1]), file) for file in files_in(path, "samples") if (found := EPOCH.fullmatch(file.name))
    )
    names = {file: epoch for epoch, file in epochs}
    if budget is None:
        frames, broken = originals(path, list(names))
    else:
        frames, broken = frame_pictures(path, list(names), budget.frames)
    run.frames = [(names[file], picture) for file, picture in frames]
    run.every_frame = -(-len(names) // max(1, len(frames)))
    final = path / "samples" / "final.png"
    if final.exists() or final.is_symlink():
        try:
            run.final, run.named_rows = grid_picture(path, final)
            run.final = run.final if budget else exact(path, final)
        except Refused as error:
            broken.append(str(error))
    source = frames[-1][0] if frames else final
    if run.final or frames:
        run.thumb = thumbnail(path, source)
    # the page shows these in another way: the slider, the charts
    skipped = {"timelapse"} if budget and len(frames) > 1 else set()
    skipped |= {"curves"} if budget and run.charts else set()
    figures = [
        file for file in files_in(path, "figures") if file.suffix in (".png", ".gif") and file.stem not in skipped
    ]
    if budget is None:
        drawn, more = originals(path, figures)
        encoded = dict(drawn)
    else:
        encoded, more = figure_pictures(path, figures, budget.figures)
    order = {stem: place for place, stem in enumerate(CAPTIONS)}
    run.figures = [
        {"name": file.name, "picture": encoded[file], "caption": caption_of(file) or file.stem.replace("_", " ")}
        for file in sorted(figures, key=lambda file: order.get(file.stem, len(order)))
        if file in encoded
    ]
    run.left_out = [str(one).replace(f"{path}/", "") for one in [*broken, *more]]


def originals(path: Path, files: Sequence[Path]) -> tuple[list[tuple[Path, Picture]], list[str]]:
    """Return pictures as their files hold them, and a line for each file that is no picture."""
    found, broken = [], []
    for file in files:
        try:
            found.append((file, exact(path, file)))
        except Refused as error:
            broken.append(str(error))
    return found, broken


def files_in(path: Path, name: str) -> list[Path]:
    """Return the files of a folder of the run, sorted by name; none if it is missing or leads elsewhere."""
    try:
        return sorted(inside(path, path / name).iterdir())
    except (OSError, Refused):
        return []
