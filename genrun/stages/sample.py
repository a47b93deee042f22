"""The `sample` stage: draw samples and write samples.npz and a grid of samples."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch

from genrun.figures.grid import image_grid, png_bytes, to_uint8
from genrun.inference import class_grid, sample_chunks
from genrun.stages.context import RunContext
from genrun.system.console import with_progress
from genrun.system.files import atomic, write_atomic


def sample(context: RunContext) -> list[Path]:
    """Draw the samples and write samples.npz and the final grid.

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
            chunks, -(-cfg.sample.n // cfg.sample.chunk), f"drawing {cfg.sample.n:,} samples", context.console
        )
    ]
    folder.record(sampling_seconds=round(time.monotonic() - started, 2))
    with atomic(folder.path / "samples.npz") as file:
        np.savez_compressed(
            file,
            images=np.concatenate([images for images, _ in made]),
            labels=torch.cat([labels for _, labels in made]).numpy(),
        )
    write_atomic(folder.samples / "final.png", png_bytes(image_grid(class_grid(method, 10, cfg.seed), 10)))
    return [folder.path / "samples.npz", folder.samples / "final.png"]
