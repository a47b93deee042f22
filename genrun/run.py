"""One run, read top to bottom: data → identity → model → its stages."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from genrun.beginning import check_resumable, extended_run, refitted_run, starting_point
from genrun.beside import check_beside, folders_beside, table_rows
from genrun.build import build, check
from genrun.data.facts import recall, remember
from genrun.errors import Refused, Stopped
from genrun.logs import log_file, logging_to
from genrun.runs import RunFolder, digest, identity, images_key, plain, write_atomic
from genrun.show import show
from genrun.signals import Signals
from genrun.types import Facts

if TYPE_CHECKING:
    from pytorch_lightning import Callback, Trainer

    from genrun.callbacks.keeper import Keeper
    from genrun.data.module import ImageData
    from genrun.evaluation.judge import Judge
    from genrun.methods.method import Method

log = logging.getLogger("genrun")

TABLE_VERSION = 2  # raised when the same samples would come to another table, so that finished runs are judged again


def run(
    cfg: DictConfig,
    overrides: list[str],
    console: Console | None = None,
    *,
    wait: float = 0,
    callbacks: Sequence[Callback] = (),
) -> RunFolder:
    """Do what is missing of the run that `cfg` describes, and print its table.

    Args:
        wait: seconds that another process which is at the same run is given to end.
        callbacks: of Lightning, besides those of the configuration; they change nothing of the result.

    Raises:
        GenrunError: with the exit status and one line for the user.
    """
    console = console or screen()
    check(cfg)
    cfg.run.beside = [os.path.abspath(os.path.expanduser(pattern)) for pattern in cfg.run.get("beside") or []]
    data = read_facts(cfg)
    folder = RunFolder.of(cfg)
    keys = stage_keys(cfg, folder)
    if cfg.run.dry_run:
        from genrun.dryrun import dry_run

        check_resumable(cfg, folder)
        with logging_to(logging.NullHandler()), Signals().watching():
            dry_run(cfg, data or build_data(cfg), folder, console)
        return folder
    if cfg.run.resume != "never" and folder.finished(keys):
        show(folder, console)
        return folder
    check_resumable(cfg, folder)
    import pytorch_lightning  # noqa: F401 its import adds a handler of its own, so it comes first

    with logging_to(logging.NullHandler()):
        job = prepare(cfg, folder, data or build_data(cfg), console, callbacks)
    with folder.lock(wait=wait), job.signals.watching():
        check_resumable(cfg, folder)  # again: another process may have ended meanwhile
        if cfg.run.resume != "never" and folder.finished(keys):
            show(folder, console)
            return folder
        if cfg.run.resume == "never" and (folder.path / "status.json").is_file():
            console.print(f"moved the old run to {folder.move_aside()}", highlight=False, markup=False, soft_wrap=True)
            return run(
                OmegaConf.merge(cfg, {"run": {"resume": "auto"}}), overrides, console, wait=wait, callbacks=callbacks
            )
        folder.begin_attempt()
        with logging_to(log_file(folder)):
            try:
                work(job, overrides, keys)
            except BaseException as error:
                end(folder, error)
                raise
        folder.end_attempt("done")
    show(folder, console)
    return folder


def screen() -> Console:
    """The terminal, or lines wide enough for a table where there is none."""
    return Console() if sys.stdout.isatty() else Console(width=120)


# --------------------------------------------------------------------------------------------------- data and identity


def build_data(cfg: DictConfig) -> ImageData:
    """The data module that `cfg.data` describes."""
    return build(OmegaConf.create(described_data(cfg)), "data")


def described_data(cfg: DictConfig) -> dict[str, Any]:
    """What is said of the data, without the facts that it says of itself."""
    return {key: value for key, value in plain(cfg.data).items() if key != "facts"}


def read_facts(cfg: DictConfig) -> ImageData | None:
    """Write the facts of the data into `cfg.data.facts`; they are remembered, so that a finished run is found without torch.

    Returns:
        The data module when it had to be built for that.
    """
    cache = Path(cfg.paths.cache).expanduser()
    described = described_data(cfg)
    data, facts = None, recall(described, cache)
    if facts is None:
        data = build_data(cfg)
        facts = data.facts()
        if not cfg.run.dry_run:
            remember(described, facts, data.files(), cache)
    cfg.data.facts = facts.plain()
    return data


def stage_keys(cfg: DictConfig, folder: RunFolder) -> dict[str, str]:
    """The hash of what each stage's outcome depends on.

    Raises:
        Refused: `run.beside` names what is not a finished run.
    """
    trained = digest(identity(cfg))
    sampled = digest([trained, cfg.sample.n, cfg.sample.chunk])
    return {
        "fit": trained,
        "refit": trained,
        "sample": sampled,
        # samples are sorted by the judge's classifier
        "figures": digest(
            [sampled, plain(cfg.callbacks.watching), plain(cfg.evaluation.get("classifier")), *beside_key(cfg, folder)]
        ),
        "evaluate": evaluate_key(sampled, cfg, folder),
    }


def evaluate_key(sampled: str, cfg: DictConfig, folder: RunFolder) -> str:
    """The same of the `evaluate` stage, from that of the `sample` stage."""
    return digest([sampled, plain(cfg.evaluation), TABLE_VERSION, *beside_key(cfg, folder)])


def beside_key(cfg: DictConfig, folder: RunFolder) -> list[list[str]]:
    """The runs beside this one, and what each was judged to be; empty without any."""
    return [[other.path.name, digest(table_rows(other))] for other in folders_beside(cfg, folder)]


# ---------------------------------------------------------------------------------------------------------- the stages


@dataclass
class Job:
    """All that a run needs, built before anything is written: what is wrong with it is known by then."""

    cfg: DictConfig
    folder: RunFolder
    data: ImageData
    method: Method
    judge: Judge
    trainer: Trainer
    keeper: Keeper
    signals: Signals
    console: Console


def prepare(
    cfg: DictConfig, folder: RunFolder, data: ImageData, console: Console, callbacks: Sequence[Callback] = ()
) -> Job:
    """Build the method and its trainer.

    Raises:
        Refused: a class, option or device is wrong or missing.
    """
    import torch

    from genrun.callbacks.keeper import Keeper
    from genrun.hardware import check_device
    from genrun.model import make_method
    from genrun.training import make_trainer

    if cfg.hardware.threads is not None:
        torch.set_num_threads(cfg.hardware.threads)
    check_device(cfg)
    method = make_method(cfg)
    try:
        method.configure_optimizers()
    except ValueError as error:
        raise Refused(f"model.optimizer: {error}") from error
    if cfg.run.extend and not folder.last.is_file() and "fit" not in folder.status()["stages"]:
        extended_run(cfg, folder, method)
    if cfg.run.refit_of is not None:
        refitted_run(cfg, folder)
    try:
        method.check_data(data.train.labels)
    except ValueError as error:
        raise Refused(str(error)) from error
    judge = build_judge(cfg, data, console)
    judge.check(cfg.sample.n, f"sample.n={cfg.sample.n}")
    check_beside(cfg, folder)
    signals = Signals()
    keeper = Keeper(folder, signals, cfg.run.checkpoint_minutes, cfg.run.keep_checkpoints in ("all", "best"))
    trainer = make_trainer(cfg, folder, keeper, console, judge, callbacks)
    return Job(cfg, folder, data, method, judge, trainer, keeper, signals, console)


def work(job: Job, overrides: list[str], keys: dict[str, str]) -> None:
    """Do every stage that is not done."""
    from genrun import stages
    from genrun.evaluation.results import evaluate
    from genrun.hardware import device_of
    from genrun.provenance import provenance, write_provenance
    from genrun.training import fit, load_weights, take_over
    from genrun.types import Refits

    cfg, folder, method = job.cfg, job.folder, job.method
    job.console.print(f"run folder {folder.path}", highlight=False, markup=False, soft_wrap=True)
    start, parent = starting_point(cfg, folder, method)
    write_provenance(folder, provenance(cfg, overrides, identity(cfg)), parent, job.console)
    write_atomic(folder.path / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    write_atomic(folder.path / "overrides.yaml", OmegaConf.to_yaml(OmegaConf.create(overrides)))
    folder.record(id=keys["fit"], group_id=digest({**identity(cfg), "seed": None}))

    if parent is not None and cfg.run.extend:
        for file in ("figures/codes_first.npz", *(["checkpoints/best.ckpt"] if job.keeper.keeps_best else [])):
            if (parent.path / file).is_file():
                write_atomic(folder.path / file, (parent.path / file).read_bytes())
    taken_over = cfg.run.refit_of is not None
    folder.run_stage("fit", keys["fit"], lambda: take_over(job, parent) if taken_over else fit(job, start))
    load_weights(method, folder.weights, "the trained weights")
    method.eval().to(device_of(cfg))
    if isinstance(method, Refits):
        folder.run_stage("refit", keys["refit"], lambda: stages.refit(job))
    folder.run_stage("sample", keys["sample"], lambda: stages.sample(job))
    folder.run_stage("figures", keys["figures"], lambda: stages.figures(job))
    folder.run_stage("evaluate", keys["evaluate"], lambda: evaluate(folder, cfg, job.data, method, job.judge))
    folder.keep_checkpoints(cfg.run.keep_checkpoints)


def build_judge(cfg: DictConfig, data: ImageData, console: Console) -> Judge:
    """The judge that `cfg.evaluation` describes, of the data whose facts are in `cfg.data.facts`."""
    from genrun.hardware import check_device, device_of

    check_device(cfg)
    judge = build(cfg.evaluation, "evaluation")  # partial, for Hydra would turn the facts into a configuration
    return judge(
        data,
        Facts.from_plain(plain(cfg.data.facts)),
        images_key(cfg),
        Path(cfg.paths.cache).expanduser(),
        console,
        seed=cfg.seed,
        device=device_of(cfg),
    )


# ---------------------------------------------------------------------------------------------------- the state of a run


def state_of(cfg: DictConfig, folder: RunFolder) -> str:
    """`done`, `to resume`, `failed` with its reason, or `new`: what the same command would find."""
    if folder.finished(stage_keys(cfg, folder)):
        return "done"
    if folder.status().get("error_kind") == "NotFinite":
        return f"failed: {folder.status()['error']}"
    return "new" if folder.status()["state"] == "new" else "to resume"


def end(folder: RunFolder, error: BaseException) -> None:
    """Record how an attempt ended; the traceback goes to log.txt."""
    text = io.StringIO()
    traceback.print_exception(error, file=text)
    log.error("%s", text.getvalue())
    stopped = isinstance(error, Stopped) or not isinstance(error, Exception)
    state = "interrupted" if stopped else "failed"
    with contextlib.suppress(OSError):  # the disk may be what failed
        folder.end_attempt(state, " ".join(str(error).split()) or type(error).__name__, type(error).__name__)
