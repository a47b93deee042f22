"""The `sample` stage: draw samples and write samples.npz and a grid of samples."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genrun.figures.grid import image_grid, png_bytes, to_uint8
from genrun.inference import class_grid, grid_names, sample_chunks
from genrun.stages.context import RunContext
from genrun.system.console import duration, say, with_progress
from genrun.system.files import atomic, write_atomic

COLUMNS = 10  # images in a row of the grid
WORTH_WARNING = 60  # seconds of drawing that are short in any case


def sample(context: RunContext) -> list[Path]:
    """Draw the samples and write samples.npz and the final grid, which has a named row for each class if the method is conditional.

    samples.npz holds `images`, uint8 (n, H, W, C), and `labels`, int64 (n,), which are -1 if the method is unconditional.

    Returns:
        The files that it wrote.
    """
    cfg, folder, method = context.cfg, context.folder, context.method
    started = time.monotonic()
    chunks = sample_chunks(method, cfg.sample.n, cfg.seed, cfg.sample.chunk)
    made = [
        (to_uint8(images), labels)
        for images, labels in with_progress(
            timed(chunks, context),
            -(-cfg.sample.n // cfg.sample.chunk),
            f"drawing {cfg.sample.n:,} samples",
            context.console,
        )
    ]
    folder.record(sampling_seconds=round(time.monotonic() - started, 2))
    with atomic(folder.path / "samples.npz") as file:
        np.savez_compressed(
            file,
            images=np.concatenate([images for images, _ in made]),
            labels=torch.cat([labels for _, labels in made]).numpy(),
        )
    names = grid_names(method, context.data.facts().class_names)
    grid = image_grid(class_grid(method, COLUMNS, cfg.seed), COLUMNS, row_names=names)
    write_atomic(folder.samples / "final.png", png_bytes(grid))
    return [folder.path / "samples.npz", folder.samples / "final.png"]


def timed(chunks: Iterator[tuple[Tensor, Tensor]], context: RunContext) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the chunks; after the first, say so if all of them will take longer than the training took."""
    started = time.monotonic()
    for number, chunk in enumerate(chunks):
        if not number:
            line = long_drawing(
                (time.monotonic() - started) / len(chunk[0]),
                context.cfg.sample.n,
                context.folder.status().get("training_seconds", 0.0),
            )
            if line:
                say(context.console, line)
        yield chunk


def long_drawing(seconds: float, n: int, trained: float) -> str | None:
    """Return a line that warns of drawing that takes longer than the training took, and more than a minute; otherwise None.

    Args:
        seconds: for an image.
        n: number of images.
        trained: seconds that the training took.
    """
    if seconds * n <= max(trained, WORTH_WARNING):
        return None
    fewer = max(1, int(trained / seconds))
    fewer -= fewer % 10 ** (len(str(fewer)) - 1)  # one digit and noughts
    return (
        f"warning: drawing {n:,} samples will take about {duration(seconds * n)}, longer than the training ({duration(trained)}); "
        f"sample.n={fewer} takes about {duration(seconds * fewer)}: stop with Ctrl-C and give the command with it, the training is kept"
    )
