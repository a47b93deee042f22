"""Build Lightning's trainer so that a killed training can resume bit for bit."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.profilers import PassThroughProfiler
from rich.console import Console

from genrun.callbacks.checkpoint import AtomicCheckpointIO, RunCheckpoint
from genrun.callbacks.clipping import clipping_of
from genrun.callbacks.epochs import EpochJudge
from genrun.callbacks.loggers import RunLoggers
from genrun.callbacks.progress import TrainingProgress
from genrun.callbacks.turns import PassTurn
from genrun.compat import leave_signals_alone
from genrun.config.build import arguments_of, build, construct
from genrun.config.extras import extra_of, to_install
from genrun.distributed.strategy import RankEnvironment, SharedBatches
from genrun.errors import Refused, one_line
from genrun.runs.folder import RunFolder
from genrun.runs.phases import phases_of
from genrun.system.hardware import devices_here, kind_of, processes
from genrun.training.arithmetic import check_of, precision_of
from genrun.types import Phase

if TYPE_CHECKING:
    from genrun.evaluation.judge import Judge


def training_callbacks(cfg: DictConfig) -> list[Callback]:
    """Build the callbacks of the configuration that decide the result."""
    return [callback(node, f"callbacks.training.{name}") for name, node in cfg.callbacks.training.items()]


def callback(node: DictConfig, path: str, **extra: Any) -> Callback:
    """Build a callback, as `build` does.

    Raises:
        Refused: the class is no Lightning callback, or an option is wrong.
    """
    made = build(node, path, **extra)
    if not isinstance(made, Callback):
        raise Refused(f"{path}._target_={node._target_}: expected a callback of Lightning, got a {type(made).__name__}")
    return made


def watchers(cfg: DictConfig, folder: RunFolder, loggers: RunLoggers | None) -> list[Callback]:
    """Build the callbacks that only watch the training; those that take the run folder, the seed or the loggers get them."""
    made = []
    for name, node in cfg.callbacks.watching.items():
        if "_target_" not in node:  # a model's YAML may set an option of a watcher that callbacks=none removed
            continue
        taken = arguments_of(str(node._target_), f"callbacks.watching.{name}")
        given = {"folder": folder, "seed": cfg.seed, "loggers": loggers}
        own = {key: value for key, value in given.items() if key in taken}
        made.append(callback(node, f"callbacks.watching.{name}", **own))
    return made


STEP_HOOKS = (
    *("on_train_batch_start", "on_train_batch_end", "on_before_zero_grad"),
    *("on_before_backward", "on_after_backward", "on_before_optimizer_step"),
)


def without_empty_hooks(callback: Callback) -> Callback:
    """Set the hooks of a step that do nothing to None: Lightning then leaves them out, of all callbacks some forty calls a step."""
    for hook in STEP_HOOKS:
        if hook not in vars(callback) and getattr(type(callback), hook) is getattr(Callback, hook):
            setattr(callback, hook, None)
    return callback


class NoProfiler(PassThroughProfiler):
    """A profiler that measures nothing. Lightning asks it some fifty times a step, and Lightning's own makes a generator each time."""

    context = contextlib.nullcontext()

    def profile(self, action_name: str) -> contextlib.nullcontext:
        return self.context


def make_trainer(
    cfg: DictConfig,
    folder: RunFolder,
    phase: Phase,
    checkpoint: RunCheckpoint,
    console: Console | None = None,
    judge: Judge | None = None,
    callbacks: Sequence[Callback] = (),
    loggers: RunLoggers | None = None,
    rank: int = 0,
    *,
    exact: bool = False,
) -> Trainer:
    """Build Lightning's trainer for one phase, with genrun's checkpoints and progress, and no files of its own.

    Args:
        cfg: the configuration of the run.
        folder: the run folder.
        phase: the phase of the training.
        checkpoint: the callback that saves.
        console: where rank 0 shows the progress.
        judge: judges some samples after epochs of the last phase.
        callbacks: callbacks in addition to those of the configuration.
        loggers: the loggers beside metrics.csv, which all phases share.
        rank: the rank of this process; ranks above 0 show, judge and log nothing.
        exact: compute in 32 bits, because the device computes wrongly in the precision of the configuration.

    Raises:
        Refused: the device is not available, or an option of the trainer or of a callback is wrong.
    """
    used = "32-true" if exact else precision_of(cfg, folder, phase)
    # built in every phase, so that a wrong option is refused in the first
    watching = [] if rank else watchers(cfg, folder, loggers)
    if judge and judge.epoch_samples:
        watching = [EpochJudge(judge, cfg.seed, cfg.sample.chunk), *watching]
    if rank or not phase.is_last:  # samples mean nothing before the last phase
        watching = []
    progress = (
        []
        if rank
        else [TrainingProgress(console, phase, phases_of(cfg)), PassTurn(), *check_of(cfg, folder, phase, used)]
    )
    # watchers come first: they must see averaged weights before these are swapped back
    every = [*watching, *training_callbacks(cfg), *callbacks, *clipping_of(cfg.trainer), *progress, checkpoint]
    # torch can fill new memory to expose reads of unwritten values; a repeatable run has none, and filling costs time
    torch.utils.deterministic.fill_uninitialized_memory = False
    node = cfg.trainer.copy()
    node.max_time, node.max_epochs = None, phase.max_epochs
    OmegaConf.set_struct(node, False)
    for key in ("gradient_clip_val", "gradient_clip_algorithm"):  # GradientClipping does it
        node.pop(key, None)
    if cfg.trainer.max_time is not None:
        try:
            every = [Timer(cfg.trainer.max_time, interval="epoch", verbose=False), *every]
        except Exception as error:
            raise Refused(
                f"trainer.max_time: expected days:hours:minutes:seconds such as 00:00:10:00, got {cfg.trainer.max_time!r}"
            ) from error
    kind, ranks = kind_of(cfg.hardware.accelerator), processes(cfg)
    shared: dict[str, Any] = {}
    plugins: list[Any] = [AtomicCheckpointIO()]
    if ranks == 1:
        # without this plugin Lightning would, in a SLURM job, take over the job's signals and tasks
        plugins.append(LightningEnvironment())
    else:
        batch_norm = kind == "cuda"  # synchronised over all ranks; `check_method` refuses batch norm on other devices
        shared = {"strategy": SharedBatches(RankEnvironment(rank, ranks)), "sync_batchnorm": batch_norm}
    try:
        trainer = construct(
            node,
            "trainer",
            accelerator=kind,
            devices=ranks,
            precision=used,
            callbacks=[without_empty_hooks(one) for one in every],
            logger=(loggers and loggers.loggers) or False,
            plugins=plugins,
            profiler=NoProfiler(),
            default_root_dir=str(folder.path),
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            log_every_n_steps=2**31,  # metrics are logged only once an epoch
            **shared,
        )
    except Refused:
        raise
    except Exception as error:
        raise Refused(f"hardware or trainer: {one_line(error)} (this machine has: {devices_here()})") from error
    if not isinstance(trainer, Trainer):
        raise Refused(f"trainer._target_={node._target_}: expected pytorch_lightning.Trainer or a subclass of it")
    if ranks > 1:
        leave_signals_alone(trainer)
    return trainer


def make_loggers(cfg: DictConfig, folder: RunFolder, console: Console) -> RunLoggers:
    """Build the optional loggers, which write into the run folder or the folder `save_dir` in it; metrics.csv needs none.

    Raises:
        Refused: the package of a logger is not installed, an option is wrong, or the class is no Lightning logger.
    """
    made: list[Logger] = []
    for name, node in cfg.logger.items():
        try:
            inside = str(node.get("save_dir") or "") if node else ""
            logger = build(node, f"logger.{name}", save_dir=str(folder.path / inside))
        except ModuleNotFoundError as error:
            reason = str(error).splitlines()[0]
            # Lightning names the package in its text alone; a logger of the user's own may need one of no extra
            packages = [error.name] if error.name else re.findall(r"['`]([\w-]+)", reason)
            extra = next(filter(None, map(extra_of, packages)), None)
            how = f"needs {to_install(extra)}" if extra else "cannot be built"
            raise Refused(f"logger={name} {how} ({reason})") from error
        if not isinstance(logger, Logger):
            raise Refused(
                f"logger.{name}._target_={node._target_}: expected a logger of Lightning, got a {type(logger).__name__}"
            )
        made.append(logger)
    return RunLoggers(made, console)
