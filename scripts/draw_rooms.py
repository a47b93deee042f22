"""Draw docs/images/rooms.png: the rooms of genrun, floor above floor, and the way of one run through them.

.venv/bin/python scripts/draw_rooms.py
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

OUT = Path(__file__).parents[1] / "docs" / "images" / "rooms.png"
# Floor by floor, from the top: its name, its colour, and its rooms with what they hold and the steps of a run that happen there.
FLOORS = [
    (
        "what you type",
        "#dbe7f5",
        [
            ("cli", "argv → a run, a sweep\nor a verb", "1"),
            ("verbs/", "list, compare, report,\nsample, export, …", ""),
            ("sweeps/", "scheduler, jobs;\nlaunchers, searches", ""),
            ("sharing/", "folders for others:\nwrite, receive", ""),
            ("explore/", "a trained method\nin the browser", ""),
        ],
    ),
    (
        "one run",
        "#dcefdf",
        [
            ("run, dry_run", "one run,\ntop to bottom", "3"),
            ("stages/", "fit, refit, sample,\nfigures, evaluate", "6"),
            ("training/", "Lightning's trainer,\nworkers", "7"),
            ("parts", "configuration → data,\nmethod, judge", "5"),
        ],
    ),
    (
        "who looks at it",
        "#f6e9d6",
        [
            ("callbacks/", "checkpoints, progress,\ngrids of epochs", "8"),
            ("evaluation/", "judge, features;\nmetrics/, rows/", "9"),
            ("report/", "tables, leaderboard,\nthe HTML page", "10"),
            ("inference", "samples and codes\nin chunks", ""),
            ("distributed/", "ranks share\na batch", ""),
        ],
    ),
    (
        "what a run is",
        "#efe0ec",
        [
            ("runs/", "folder, identity, resume,\nphases, weights", "4"),
            ("data/", "sources, splits,\nbatches, facts", ""),
            ("config/", "compose, build,\nschema, trust", "2"),
            ("system/", "files, locks, signals,\nhardware", ""),
        ],
    ),
    (
        "the science",
        "#f7dedd",
        [
            ("methods/", "one file\nfor each paper", ""),
            ("figures/", "grids, GIFs,\nplots", ""),
            ("nn/", "networks", ""),
            ("maths/", "losses, samplers,\nmixtures", ""),
        ],
    ),
    (
        "the ground",
        "#e6e6e6",
        [
            ("types", "what rooms\nexchange", ""),
            ("errors", "one line each", ""),
            ("compat", "private names\nof libraries", ""),
        ],
    ),
]
WIDTH, HEIGHT, GAP = 12.0, 1.0, 0.22


def main() -> None:
    figure = Figure(figsize=(11, 7.2), dpi=110)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(-1.75, WIDTH + 0.1)
    axes.set_ylim(-0.55, len(FLOORS) * (HEIGHT + GAP))
    axes.axis("off")
    for floor, (name, colour, rooms) in enumerate(FLOORS):
        bottom = (len(FLOORS) - 1 - floor) * (HEIGHT + GAP)
        axes.text(
            -0.15, bottom + HEIGHT / 2, name, ha="right", va="center", fontsize=11, style="italic", color="#444444"
        )
        width = (WIDTH - GAP * (len(rooms) - 1)) / len(rooms)
        for place, (room, holds, steps) in enumerate(rooms):
            left = place * (width + GAP)
            box = FancyBboxPatch(
                (left, bottom),
                width,
                HEIGHT,
                boxstyle="round,pad=0,rounding_size=0.08",
                fc=colour,
                ec="#777777",
                lw=0.8,
            )
            axes.add_patch(box)
            middle = left + width / 2
            axes.text(
                middle, bottom + 0.76, room, ha="center", va="center", fontsize=12.5, weight="bold", color="#222222"
            )
            axes.text(
                middle, bottom + 0.33, holds, ha="center", va="center", fontsize=9.5, color="#333333", linespacing=1.25
            )
            if steps:
                axes.text(
                    left + 0.2,
                    bottom + HEIGHT - 0.2,
                    steps,
                    ha="center",
                    va="center",
                    fontsize=9,
                    color="white",
                    weight="bold",
                    bbox={"boxstyle": "circle,pad=0.22", "fc": "#1f4e8c", "ec": "none"},
                )
    axes.text(
        -1.65,
        -0.32,
        "A room imports only rooms further down or to its right. The numbers are the way of one run: see below.",
        fontsize=10.5,
        color="#444444",
    )
    figure.savefig(OUT)


if __name__ == "__main__":
    main()
