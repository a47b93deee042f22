"""`--dry-run`: build everything, push one batch through, write nothing."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback
from rich.console import Console
from rich.table import Table

from genrun.beginning import extended_run
from genrun.data.module import ImageData
from genrun.hardware import precision, processes
from genrun.run import prepare, state_of
from genrun.runs import RunFolder

WARM_UP, TIMED = 3, 10  # steps


class StepClock(Callback):
    """Seconds of a step once the first ones are over."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.batch = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, method: pl.LightningModule, outputs, batch, batch_idx: int
    ) -> None:
        self.ends.append(time.monotonic())
        self.batch = self.batch or batch

    @property
    def seconds(self) -> float:
        ends = self.ends[WARM_UP:] if len(self.ends) > WARM_UP + 1 else self.ends
        return (ends[-1] - ends[0]) / max(1, len(ends) - 1)


def dry_run(cfg: DictConfig, data: ImageData, folder: RunFolder, console: Console) -> None:
    """Print shapes, parameters and the time that the run would take.

    Raises:
        GenrunError: what the run itself would refuse.
    """
    # the first steps run in a folder that is gone afterwards
    with tempfile.TemporaryDirectory() as scratch:
        short = cfg.copy()
        short.logger, short.callbacks.watching, short.run.extend = {}, {}, False
        job = prepare(short, RunFolder(Path(scratch)), data, console)  # what would be refused is
        if (many := processes(cfg)) > 1:
            short.hardware.devices = 1  # one process does the whole batch here
            job = prepare(short, RunFolder(Path(scratch)), data, console)
        clock = StepClock()
        job.trainer.callbacks = [clock]
        job.trainer.limit_train_batches = min(WARM_UP + TIMED, len(data.train_dataloader()))
        job.trainer.limit_val_batches = 0
        job.trainer.fit_loop.max_epochs = 1
        job.trainer.fit(job.method, data)
    if cfg.run.extend and not folder.last.is_file():
        extended_run(cfg, folder, job.method)
    steps = len(data.train_dataloader())
    total = steps * cfg.trainer.max_epochs * clock.seconds
    image, label, _ = clock.batch
    facts = data.facts()
    table = Table(
        title=f"{folder.path}: {state_of(cfg, folder)}",
        title_justify="left",
        box=None,
        show_header=False,
        pad_edge=False,
    )
    for name, value in {
        "batch": f"image {tuple(image.shape)} {image.dtype}, label {tuple(label.shape)}",
        "images": f"{facts.train_size:,} to train, {len(data.validation):,} held out, {len(data.test):,} to test",
        "classes": f"{facts.num_classes}" + (f" ({', '.join(facts.class_names)})" if facts.num_classes <= 12 else ""),
        "parameters": f"{sum(weight.numel() for weight in job.method.parameters()):,}",
        "device": f"{job.trainer.strategy.root_device}, {torch.get_num_threads()} threads, precision {precision(cfg)}"
        + (f"; the run shares each batch among {many}, and the time is of one" if many > 1 else ""),
        "training": f"{cfg.trainer.max_epochs} epochs of {steps:,} steps, {1000 * clock.seconds:.1f} ms a step: about {duration(total)}",
    }.items():
        table.add_row(name, value)
    console.print(table)


def duration(seconds: float) -> str:
    """12 s, 3 min, 4.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
