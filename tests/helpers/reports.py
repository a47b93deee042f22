"""Runs to report, made from the finished run of an earlier version, so that none is trained here."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from genrun.figures.grid import LAYOUT, png_bytes
from genrun.runs.folder import RunFolder
from genrun.runs.summary import RunSummary, read_summary
from helpers.runs import change_config, change_json, unpack

DISTANCE = "Fréchet distance (observer)"


def made_run(
    outputs: Path, name: str, *, model: str = "vae", seed: int = 0, epochs: int = 5, distance: float = 2.0
) -> RunFolder:
    """Make a finished run with epochs, a table and figures.

    Args:
        outputs: a folder of outputs.
        name: of the run folder.
        model, seed: of its configuration; runs of the same model differ only in their seed.
        epochs: how many grids of samples and rows of metrics.csv it has.
        distance: its Fréchet distance.
    """
    unpacked = unpack(outputs / "unpacked", "finished")
    folder = RunFolder(outputs / f"{model}-digits" / name)
    folder.path.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(unpacked.path, folder.path)
    shutil.rmtree(outputs / "unpacked")
    change_config(folder, "model.name", model)
    change_config(folder, "seed", seed)
    change_json(folder, "status.json", lambda status: status.update(id=name, group_id=model, epoch=epochs))
    change_json(folder, "provenance.json", lambda made: made.update(overrides=[f"model={model}", f"seed={seed}"]))
    rows = [
        {"name": DISTANCE, "value": distance, "floor": 0.5, "best": "low", "note": "360 test images"},
        {"name": "authenticity", "value": 0.6 + seed / 100, "floor": 0.7, "best": "real", "note": ""},
        {"name": "training, s", "value": 10.0 * distance, "note": "", "seed": seed},
    ]
    change_json(folder, "results.json", lambda results: results.update(rows=rows))
    lines = [f"{epoch},{10 * epoch},{9 / epoch},{20 / epoch}" for epoch in range(1, epochs + 1)]
    (folder.path / "metrics.csv").write_text("epoch,step,judge/frechet,train/loss\n" + "\n".join(lines) + "\n")
    for epoch in range(1, epochs + 1):
        (folder.samples / f"epoch_{epoch:04d}.png").write_bytes(png_bytes(grid(10 * seed + epoch)))
    (folder.samples / "final.png").write_bytes(png_bytes(grid(10 * seed + epochs)))
    for file in folder.figures.iterdir():
        file.unlink()
    (folder.figures / "sorted.png").write_bytes(png_bytes(grid(seed, columns=2)))
    return folder


def grid(seed: int, *, columns: int = 3, side: int = 8, scale: int = 3, gap: int = 1) -> Image.Image:
    """A square grid of noise with its layout, as `image_grid` draws it."""
    noise = np.random.default_rng(seed).integers(0, 256, (columns, columns, side, side), dtype=np.uint8)
    step = scale * side + gap
    pixels = np.full((columns * step + gap, columns * step + gap), 96, np.uint8)
    for row in range(columns):
        for column in range(columns):
            cell = noise[row, column].repeat(scale, 0).repeat(scale, 1)
            pixels[gap + row * step : (row + 1) * step, gap + column * step : (column + 1) * step] = cell
    drawn = Image.fromarray(pixels)
    drawn.info[LAYOUT] = f"{side} {side} {scale} {gap}"
    return drawn


def summaries(*folders: RunFolder) -> list[RunSummary]:
    return [read_summary(folder.path) for folder in folders]
