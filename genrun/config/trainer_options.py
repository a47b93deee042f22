"""The arguments of Lightning's Trainer: those that may be set in `trainer`, and those that genrun sets or does otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from genrun.errors import Refused

# Arguments that are passed on to Lightning, with the smallest value of those that are numbers.
PASSED: dict[str, float | None] = {
    "max_epochs": 1,
    "min_epochs": 1,
    "max_time": None,
    "gradient_clip_val": 0,
    "gradient_clip_algorithm": None,
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "limit_val_batches": 0,
    "deterministic": None,
    "benchmark": None,
    "detect_anomaly": None,
    "inference_mode": None,
}

# Arguments that are refused: the option that does it in genrun, or the reason why nothing does.
REFUSED = {
    "accelerator": "give hardware.accelerator=gpu or hardware=gpu",
    "strategy": "genrun shares the batches of several devices itself: give hardware.devices=2",
    "devices": "give hardware.devices=2",
    "num_nodes": "a run trains on one machine; hardware.devices=2 trains on two of its devices",
    "precision": "give hardware.precision=bf16-mixed",
    "logger": "give logger=csv, tensorboard, wandb or mlflow",
    "callbacks": "a callback has a name: give +callbacks.watching.<name>._target_=…, or +callbacks.training.<name>._target_=… if it "
    "changes the result",
    "fast_dev_run": "a run of one batch would be recorded as done; --dry-run tries some batches and writes nothing",
    "max_steps": "the budget is counted in epochs: give trainer.max_epochs or trainer.max_time",
    "min_steps": "the budget is counted in epochs: give +trainer.min_epochs",
    "limit_train_batches": "give data.limit to train on fewer images, which the learning rate's schedule then knows",
    "limit_test_batches": "the judge compares all test images: give data.limit for fewer",
    "limit_predict_batches": "samples are drawn by a stage of their own: give sample.n",
    "overfit_batches": "give data.limit to train on a few images again and again",
    "val_check_interval": "an epoch is validated at its end, with its row in metrics.csv: give trainer.check_val_every_n_epoch, or a "
    "smaller data.passes for shorter epochs",
    "num_sanity_val_steps": "a run begins with its first training step; the end of the first epoch validates",
    "log_every_n_steps": "metrics.csv and the loggers get a row for each epoch; data.passes sets how long an epoch is",
    "enable_checkpointing": "a run needs its checkpoints to go on after a stop; run.keep_checkpoints chooses which stay at its end",
    "enable_progress_bar": "genrun shows its own: a bar on a terminal, a line for each epoch elsewhere",
    "enable_model_summary": "--dry-run shows the number of parameters",
    "use_distributed_sampler": "genrun shares the batches of several devices itself: give hardware.devices=2",
    "profiler": "it would be another run with the same result; --dry-run shows the time of a step, and py-spy profiles a run",
    "barebones": "it leaves out the checkpoints and the metrics that a run needs",
    "plugins": "genrun sets them: hardware.precision and hardware.devices choose what they do",
    "sync_batchnorm": "genrun does it on several GPUs without being asked: give hardware.devices=2",
    "reload_dataloaders_every_n_epochs": "the images stay the same, and their order is drawn anew in each epoch",
    "default_root_dir": "give paths.outputs for the folder of all runs, run.name for the name of this one",
    "enable_autolog_hparams": "config.yaml in the run folder records the options",
    "model_registry": "model.safetensors in the run folder holds the trained weights",
}


def check_trainer_options(options: Mapping[str, Any]) -> None:
    """Check that no argument of Lightning's Trainer is set that genrun sets itself or does otherwise, and that a time is a time.

    Raises:
        Refused: such an argument is set; the message names the option that does it, or the reason. Or the time cannot be read.
    """
    for option in options:
        if option in REFUSED:
            raise Refused(f"trainer.{option}: genrun does not pass it on; {REFUSED[option]}")
    time = options.get("max_time")
    if isinstance(time, str) and not re.fullmatch(r"\d+:\d\d:\d\d:\d\d", time.strip()):
        raise Refused(f"trainer.max_time: expected days:hours:minutes:seconds such as 00:00:10:00, got {time!r}")
