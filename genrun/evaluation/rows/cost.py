"""Rows on the cost of a run: seconds, memory, parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from genrun.evaluation.rows.row import Row
from genrun.runs.folder import RunFolder

if TYPE_CHECKING:
    from genrun.methods.method import Method


def cost_rows(folder: RunFolder, cfg: DictConfig, method: Method) -> list[Row]:
    """Return rows of the time, speed, memory and parameters of a run; a row without a value where status.json lacks it."""
    status = folder.status()
    trained, sampled = status.get("training_seconds"), status.get("sampling_seconds")
    training = sampling = memory = "status.json does not say"
    if trained is not None and {"training_images", "epoch"} <= status.keys():
        rate = status["training_images"] / max(trained, 1e-9)
        training = f"{status['epoch']} epochs, {rate:,.0f} images/s, without the sample checks after epochs"
    if sampled is not None:
        drawn = f"{cfg.sample.n / sampled:,.0f} images/s" if sampled else "at once"
        sampling = f"{cfg.sample.n:,} images, {drawn}"
    if "peak_memory_gib" in status:
        memory = "of the process until training ended, with the sample checks after epochs"
    return [
        Row("training, s", trained, note=training),
        Row("sampling, s", sampled, note=sampling),
        Row("peak memory, GiB", status.get("peak_memory_gib"), note=memory),
        Row("parameters", method.num_parameters(), note="without stored codes"),
    ]
