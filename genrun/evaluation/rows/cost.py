"""Rows on the cost of a run: seconds, memory, parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from genrun.evaluation.rows.row import Row
from genrun.runs.folder import RunFolder

if TYPE_CHECKING:
    from genrun.methods.method import Method


def cost_rows(folder: RunFolder, cfg: DictConfig, method: Method) -> list[Row]:
    """Return rows of the time, speed, memory and parameters of a run."""
    status = folder.status()
    trained, sampled = status["training_seconds"], status["sampling_seconds"]
    rate = status["training_images"] / max(trained, 1e-9)
    drawn = f"{cfg.sample.n / sampled:,.0f} images/s" if sampled else "at once"
    return [
        Row(
            "training, s",
            trained,
            note=f"{status['epoch']} epochs, {rate:,.0f} images/s, without the sample checks after epochs",
        ),
        Row("sampling, s", sampled, note=f"{cfg.sample.n:,} images, {drawn}"),
        Row(
            "peak memory, GiB",
            status["peak_memory_gib"],
            note="of the process until training ended, with the sample checks after epochs",
        ),
        Row("parameters", method.num_parameters(), note="without stored codes"),
    ]
