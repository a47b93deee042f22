"""Where an attempt begins: at the start, at a checkpoint, at the end of a shorter run, or not at all."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from genrun.errors import NotFinite, Refused
from genrun.runs import RunFolder, differing, identity

if TYPE_CHECKING:
    from genrun.methods.method import Method

log = logging.getLogger("genrun")


def check_resumable(cfg: DictConfig, folder: RunFolder) -> None:
    """Refuse what cannot go on: a run that met NaN, or run.resume=must without a checkpoint."""
    if cfg.run.resume == "never":
        return
    status = folder.status()
    if status["state"] == "failed" and status.get("error_kind") == "NotFinite":
        raise NotFinite(
            f"{status['error']} (the same command would meet it again; change it, or run.resume=never starts over)"
        )
    trained = "fit" in status["stages"]  # then there is nothing to go on with, and last.ckpt may not have been kept
    if cfg.run.resume == "must" and not folder.last.is_file() and not trained:
        raise Refused(f"run.resume=must: there is no {folder.last} to go on from")


def starting_point(cfg: DictConfig, folder: RunFolder, method: Method) -> tuple[Path | None, RunFolder | None]:
    """The checkpoint that training goes on from, and the run it comes from when that is another one.

    Raises:
        Refused: see `extended_run` and `refitted_run`.
    """
    if cfg.run.refit_of is not None:
        return None, refitted_run(cfg, folder)
    if whole(folder.last):
        return folder.last, None
    if not cfg.run.extend or "fit" in folder.status()["stages"]:
        return None, None
    parent = extended_run(cfg, folder, method)
    return parent.last, parent


def extended_run(cfg: DictConfig, folder: RunFolder, method: Method) -> RunFolder:
    """The finished run that run.extend=true goes on from.

    Raises:
        Refused: there is none, or the method's schedule depends on the budget.
    """
    if reason := method.budget_dependence():
        raise Refused(
            f"run.extend=true: {reason}, so a longer run is not the continuation of a shorter one; train it from the start"
        )
    wanted = identity(cfg)
    found, dropped = [], []
    for sibling in sorted(folder.path.parent.iterdir()) if folder.path.parent.is_dir() else []:
        other = RunFolder(sibling)
        if sibling == folder.path or other.status()["state"] != "done":
            continue
        theirs = identity(OmegaConf.load(sibling / "config.yaml"))
        epochs = theirs["trainer"]["max_epochs"]
        if differing(theirs, wanted) == ["trainer.max_epochs"] and epochs < cfg.trainer.max_epochs:
            (found if other.last.is_file() else dropped).append((epochs, other))
    if not found and dropped:
        raise Refused(
            f"run.extend=true: {dropped[0][1].path} has no last.ckpt to go on from (a refit never had one, and run.keep_checkpoints may "
            "have dropped it); train the longer run from the start"
        )
    if not found:
        raise Refused(
            f"run.extend=true: no finished run in {folder.path.parent} differs from this one only by a smaller trainer.max_epochs"
        )
    return max(found, key=lambda pair: pair[0])[1]


def refitted_run(cfg: DictConfig, folder: RunFolder) -> RunFolder:
    """The finished run whose networks run.refit_of takes over: training does not see the prior, so they are this run's as well.

    Raises:
        Refused: it is not finished, or differs in more than its prior.
    """
    parent = RunFolder(Path(cfg.run.refit_of))
    if parent.path.resolve() == folder.path.resolve():
        raise Refused(f"run.refit_of={parent.path}: this is the run's own prior")
    if parent.status()["state"] != "done" or not parent.weights.is_file():
        raise Refused(f"run.refit_of={parent.path}: expected a finished run, it is {parent.status()['state']}")
    keys = differing(identity(OmegaConf.load(parent.path / "config.yaml")), identity(cfg))
    if others := [key for key in keys if not key.startswith(("model.prior", "model.components"))]:
        raise Refused(
            f"run.refit_of={parent.path}: expected another prior and nothing else, {', '.join(others)} differ"
        )
    return parent


def whole(checkpoint: Path) -> bool:
    """Whether a checkpoint is there and can be read; a damaged one is set aside."""
    if not checkpoint.is_file():
        return False
    import torch

    try:
        torch.load(checkpoint, map_location="meta", weights_only=True)
    except Exception as error:
        log.warning("%s cannot be read (%s): set aside, starting over", checkpoint, error)
        checkpoint.rename(checkpoint.with_suffix(".damaged"))
        return False
    return True
