"""The `refit` stage: fit the prior of the codes. For `genrun refit`, first copy the trained networks of another run."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from genrun.callbacks.checkpoint import as_csv
from genrun.errors import Failed
from genrun.runs.folder import RunFolder
from genrun.runs.phases import phases_of
from genrun.runs.weights import read_weights, save_weights
from genrun.stages.context import RunContext
from genrun.system.console import with_progress
from genrun.system.files import write_atomic
from genrun.types import Calibrates, Phase


def refit(context: RunContext) -> list[Path]:
    """Fit the prior to the codes of the training images, calibrate the method on held-out images, and write the weights again.

    Returns:
        The file of the weights.

    Raises:
        Failed: the prior cannot be fitted to these codes.
    """

    def progress(parts: Iterable[Any], n: int) -> Iterable[Any]:
        return with_progress(parts, n, f"fitting the prior to {len(codes):,} codes", context.console)

    train = context.data.train
    labels = train.labels.to(context.method.device)
    codes = context.training_codes.to(context.method.device)
    try:
        context.method.refit_prior(codes, labels, progress=progress)
        if isinstance(context.method, Calibrates):
            held_out = context.data.validation
            context.method.calibrate(held_out.images(torch.arange(len(held_out))), held_out.labels)
    except ValueError as error:
        raise Failed(f"refit: {error}") from error
    save_weights(context.folder.weights, context.method)
    return [context.folder.weights]


def take_over_training(context: RunContext, keys: dict[str, str], parent: RunFolder) -> None:
    """Record every phase of the training as done, with the files of the run whose prior is exchanged."""
    folder = context.folder
    for phase in phases_of(context.cfg):
        work = take_over_networks if phase.is_last else partial(take_over_phase_weights, phase=phase)
        folder.run_stage(phase.stage, keys[phase.stage], partial(work, context, parent))


def take_over_phase_weights(context: RunContext, parent: RunFolder, phase: Phase) -> list[Path]:
    """Copy the weights that an earlier phase left; none where the run that is refitted has lost them."""
    source, target = (folder.phase(phase).weights for folder in (parent, context.folder))
    if not source.is_file():
        return []
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(target, source.read_bytes())
    return [target]


def take_over_networks(context: RunContext, parent: RunFolder) -> list[Path]:
    """Copy the weights and metrics of a run that differs only in the refitted part; this part is not fitted yet.

    Do not copy results of the other prior: checkpoints, grids and figures of epochs, and the judge's columns of metrics.csv.

    Args:
        parent: the run to copy from.

    Returns:
        The weights and metrics.csv.

    Raises:
        Refused: the weights are missing or damaged.
    """
    folder, method = context.folder, context.method
    prefix = f"{method.refitted_part()}."
    networks = {
        name: value for name, value in read_weights(parent.weights, "refit").items() if not name.startswith(prefix)
    }
    method.load_state_dict(method.state_dict() | networks)
    save_weights(folder.weights, method)
    rows = [
        {name: text for name, text in row.items() if not name.startswith("judge/")} for row in parent.metric_texts()
    ]
    write_atomic(folder.path / "metrics.csv", as_csv(rows))
    copied = ("epoch", "step", "repeatable", "training_seconds", "peak_memory_gib", "training_images", "phases")
    folder.record(**{key: value for key, value in parent.status().items() if key in copied})
    return [folder.weights, folder.path / "metrics.csv"]
