"""The `fit` stage: Lightning's trainer, put together such that what is killed can go on bit for bit."""

from __future__ import annotations

import csv
import io
import resource
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import DictConfig
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.utilities.exceptions import SIGTERMException
from rich.console import Console
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from genrun.build import build
from genrun.callbacks.epochs import EpochJudge
from genrun.callbacks.keeper import AtomicCheckpointIO, Keeper
from genrun.callbacks.progress import TrainingProgress
from genrun.errors import Failed, Interrupted, Refused
from genrun.hardware import kind_of, precision, processes, there_is, threads_of_each
from genrun.methods.method import Method
from genrun.ranks import together
from genrun.runs import RunFolder, write_atomic
from genrun.shared import Member, SharedBatches

if TYPE_CHECKING:
    from genrun.evaluation.judge import Judge
    from genrun.run import Job


def fit(job: Job, start: Path | None) -> list[Path]:
    """Train to the budget and leave checkpoints, metrics.csv and model.safetensors.

    Args:
        start: checkpoint to go on from, of this run or (run.extend) of a run with a smaller budget.

    Returns:
        The files it leaves.

    Raises:
        NotFinite: a loss term became NaN or infinite.
        Interrupted: a signal came; `last.ckpt` holds the step at which it stopped.
        Failed: out of memory, or another process of the training ended.
    """
    folder, keeper = job.folder, job.keeper
    if job.judge.epoch_samples:
        job.judge.ready()  # a classifier that has to be trained first is, before the clock of this training starts
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
    try:
        with together(job.trainer, folder, threads_of_each(job.cfg), start), job.signals.patient():
            job.trainer.fit(job.method, job.data, ckpt_path=start, weights_only=True)
    except SIGTERMException as error:  # Lightning saw the signal before our callback did
        raise Interrupted(signal.SIGTERM) from error
    except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        raise Failed(f"out of memory in training; try data.batch_size={max(1, job.data.batch_size // 2)}") from error
    save_weights(folder, job.method)
    keeper.write_rows()  # again: a kill may have come between the last checkpoint and its row
    epochs = len(keeper.rows)
    folder.record(
        epoch=epochs,
        step=job.trainer.global_step,
        repeatable=job.cfg.trainer.max_time is None,
        training_seconds=round(keeper.seconds, 2),
        peak_memory_gib=peak_memory_gib(),
        training_images=epochs * job.data.passes * len(job.data.train),
    )
    return [folder.weights, folder.path / "metrics.csv"]


def take_over(job: Job, parent: RunFolder) -> list[Path]:
    """Leave the weights and metrics of a run that differs in its prior alone, which is not fitted yet.

    Checkpoints, grids and figures of epochs that were drawn from the other prior are left behind.

    Raises:
        Refused: its weights are damaged.
    """
    folder = job.folder
    state = job.method.state_dict()
    state |= {name: value for name, value in read_weights(parent.weights, "refit").items() if not is_prior(name)}
    job.method.load_state_dict(state)
    save_weights(folder, job.method)
    with open(parent.path / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    text = io.StringIO()
    kept = [name for name in rows[0] if not name.startswith("judge/")]
    writer = csv.DictWriter(text, kept, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(folder.path / "metrics.csv", text.getvalue())
    told = ("epoch", "step", "repeatable", "training_seconds", "peak_memory_gib", "training_images")
    folder.record(**{key: value for key, value in parent.status().items() if key in told})
    return [folder.weights, folder.path / "metrics.csv"]


def is_prior(name: str) -> bool:
    """Whether an entry of a method's state is its prior's."""
    return name.startswith("prior.")


def peak_memory_gib() -> float:
    """The most memory that this process has used so far: the accelerator's where there is one."""
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**30, 3)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3)


def training_callbacks(cfg: DictConfig) -> list[Callback]:
    """The callbacks of the configuration that decide the result."""
    return [build(node, f"callbacks.training.{name}") for name, node in cfg.callbacks.training.items()]


def watchers(cfg: DictConfig, folder: RunFolder) -> list[Callback]:
    """Those that look on."""
    return [
        build(node, f"callbacks.watching.{name}", folder=folder, seed=cfg.seed)
        for name, node in cfg.callbacks.watching.items()
        if "_target_" in node  # a model's YAML may set an option of a watcher that callbacks=none has taken away
    ]


def make_trainer(
    cfg: DictConfig,
    folder: RunFolder,
    keeper: Keeper,
    console: Console | None = None,
    judge: Judge | None = None,
    others: Sequence[Callback] = (),
    rank: int = 0,
) -> Trainer:
    """Lightning's trainer with our checkpoints, our progress and no files of its own.

    Args:
        console: where process 0 tells how far it is.
        judge: looks at some samples after each epoch.
        others: callbacks besides those of the configuration.
        rank: which of the processes that train this one is; from 1 on, nobody looks on and nothing is logged.

    Raises:
        Refused: the device is not there, or a logger's extra is not installed.
    """
    looks = [EpochJudge(judge, cfg.seed, cfg.sample.chunk)] if judge and judge.epoch_samples else []
    watching = [] if rank else [*looks, *watchers(cfg, folder)]
    telling = [] if rank else [TrainingProgress(console)]
    # pictures are made before averaged weights are swapped back
    callbacks = [*watching, *training_callbacks(cfg), *others, *telling, keeper]
    # filling new memory finds reads of what was never written; a repeatable run has none, and filling costs time
    torch.utils.deterministic.fill_uninitialized_memory = False
    node = cfg.trainer.copy()
    node.max_time = None
    if cfg.trainer.max_time is not None:
        try:
            callbacks = [Timer(cfg.trainer.max_time, interval="epoch", verbose=False), *callbacks]
        except Exception as error:
            raise Refused(
                f"trainer.max_time: expected days:hours:minutes:seconds such as 00:00:10:00, got {cfg.trainer.max_time!r}"
            ) from error
    kind, many = kind_of(cfg.hardware.accelerator), processes(cfg)
    shared: dict[str, Any] = {}
    plugins: list[Any] = [AtomicCheckpointIO()]
    if many == 1:
        plugins.append(LightningEnvironment())  # in a job of SLURM Lightning would take over its signals and its tasks
    else:
        batch_norm = kind == "cuda"  # over all processes; `check_method` refuses it elsewhere
        shared = {"strategy": SharedBatches(Member(rank, many)), "sync_batchnorm": batch_norm}
    try:
        trainer = build(
            node,
            "trainer",
            accelerator=kind,
            devices=many,
            precision=precision(cfg),
            callbacks=callbacks,
            logger=(not rank and loggers(cfg, folder)) or False,
            plugins=plugins,
            default_root_dir=str(folder.path),
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            log_every_n_steps=2**31,  # nothing is logged but once an epoch
            **shared,
        )
    except Refused:
        raise
    except Exception as error:
        raise Refused(f"hardware or trainer: {str(error).splitlines()[0]} (this machine has: {there_is()})") from error
    if many > 1:
        # Lightning's own handler of SIGTERM would broadcast wherever the signal meets it, while the others wait for something else
        trainer._signal_connector.register_signal_handlers = lambda: None
    return trainer


def loggers(cfg: DictConfig, folder: RunFolder) -> list[Any]:
    """The optional loggers; metrics.csv is written without any."""
    made = []
    for name, node in cfg.logger.items():
        try:
            made.append(build(node, f"logger.{name}", save_dir=str(folder.path)))
        except ModuleNotFoundError as error:
            raise Refused(
                f"logger={name} needs an extra: pip install 'genrun[{name}]' ({str(error).splitlines()[0]})"
            ) from error
    return made


def save_weights(folder: RunFolder, method: Method) -> None:
    """Write model.safetensors."""
    state = {name: value.detach().cpu().contiguous() for name, value in method.state_dict().items()}
    write_atomic(folder.weights, save(state))


def read_weights(weights: Path, why: str) -> dict[str, torch.Tensor]:
    """The tensors of model.safetensors, by name; errors as of `load_weights`."""
    try:
        return load_file(weights)
    except (SafetensorError, OSError) as error:
        raise Refused(f"{why}: {weights} cannot be read ({error})") from error


def load_weights(method: Method, weights: Path, why: str) -> None:
    """Put the weights of a run into a method.

    Args:
        why: what asked for it, for the error's line.

    Raises:
        Refused: the file is damaged, or belongs to another architecture or data set.
    """
    state = read_weights(weights, why)
    mine = method.state_dict()
    for name in sorted(mine.keys() | state.keys()):
        expected = tuple(mine[name].shape) if name in mine else "nothing"
        got = tuple(state[name].shape) if name in state else "nothing"
        if expected != got:
            raise Refused(f"{why}: weights of another model in {weights}: '{name}' expected {expected}, got {got}")
    method.load_state_dict(state)
