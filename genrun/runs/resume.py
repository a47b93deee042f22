"""Decide where a run starts: at the beginning, from a checkpoint or from another run; or refuse to start it."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from genrun.errors import NotFinite, Refused
from genrun.runs.folder import RunFolder
from genrun.runs.identity import differing_options, identity
from genrun.runs.phases import is_trained, phases_of
from genrun.runs.records import NUMBER, check_form, read_config
from genrun.types import Phase, Refits

if TYPE_CHECKING:
    from genrun.methods.method import Method

log = logging.getLogger("genrun")

# What a training needs of a checkpoint, see `check_form`; "Keeper" is the state of `genrun.callbacks.checkpoint`.
CHECKPOINT = {
    "pytorch-lightning_version": str,
    "epoch": int,
    "global_step": int,
    "state_dict": dict,
    "optimizer_states": list,
    "loops": dict,
    "callbacks": {
        "Keeper": {"rows": [dict], "seconds": NUMBER, "rng": {"torch": object, "numpy": list, "python": list}}
    },
}


def check_resumable(cfg: DictConfig, folder: RunFolder) -> None:
    """Refuse to resume a run that failed with NaN, and refuse run.resume=must without a checkpoint.

    Raises:
        NotFinite: the run failed with NaN or Inf before, and the same command would fail again.
        Refused: run.resume=must, and there is neither a checkpoint nor a finished training; or a damaged record cannot be made again.
    """
    if cfg.run.resume == "never":
        return
    status = folder.status()
    if status["state"] == "failed" and status.get("error_kind") == "NotFinite":
        raise NotFinite(
            f"{status.get('error')} (the same command would meet it again; change it, or run.resume=never starts over)"
        )
    begun = any(phase.stage in status["stages"] for phase in phases_of(cfg))
    if cfg.run.resume == "must" and not folder.has_checkpoint() and not begun:
        raise Refused(f"run.resume=must: there is no {folder.phase(phases_of(cfg)[0]).last} to go on from")
    if begun and not folder.has_checkpoint():
        folder.metrics()  # no checkpoint has its rows
    folder.provenance()  # refuses a damaged one


def parent_run(cfg: DictConfig, folder: RunFolder, method: Method) -> RunFolder | None:
    """Return the finished run whose training this run takes over (run.refit_of) or continues (run.extend); None if there is none.

    Raises:
        Refused: see `extended_run` and `refitted_run`.
    """
    if cfg.run.refit_of is not None:
        return refitted_run(cfg, folder, method)
    if not cfg.run.extend or is_trained(cfg, folder.status()) or is_whole(folder.last):
        return None
    return extended_run(cfg, folder, method)


def starting_checkpoint(folder: RunFolder, phase: Phase, parent: RunFolder | None) -> Path | None:
    """Return the checkpoint from which a phase continues: its own, or else that of the shorter run; None: start from the beginning.

    Args:
        parent: the shorter run that this run extends.
    """
    own = folder.phase(phase).last
    if is_whole(own):
        return own
    return parent.last if parent is not None else None


def extended_run(cfg: DictConfig, folder: RunFolder, method: Method) -> RunFolder:
    """Return the finished run that run.extend=true continues: the longest one that differs only by a smaller trainer.max_epochs.

    Raises:
        Refused: there is no such run, it has no last.ckpt, the method trains in phases, or a longer training would not
            continue a shorter one.
    """
    if len(phases_of(cfg)) > 1:
        raise Refused(
            f"run.extend=true: {cfg.model.name} trains in phases; leave it out and give the phase a longer budget: "
            "earlier phases with the same options are taken over from runs in the same folder"
        )
    if reason := method.budget_dependence():
        raise Refused(
            f"run.extend=true: {reason}, so a longer run is not the continuation of a shorter one; train it from the start"
        )
    found, dropped = [], []
    for sibling in sorted(folder.path.parent.iterdir()) if folder.path.parent.is_dir() else []:
        other = RunFolder(sibling)
        try:
            if sibling == folder.path or other.status()["state"] != "done":
                continue
            theirs = read_config(sibling)
        except Refused:  # a damaged record of another run
            continue
        epochs = identity(theirs)["trainer"]["max_epochs"]
        if differing_options(theirs, cfg) == ["trainer.max_epochs"] and epochs < cfg.trainer.max_epochs:
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


def refitted_run(cfg: DictConfig, folder: RunFolder, method: Method) -> RunFolder:
    """Return the finished run whose networks run.refit_of takes over.

    It may differ only in the part that the method refits and in options of sampling, because its training did not use these.

    Raises:
        Refused: it is not finished, it differs in another option, it is this run itself, or the method has no prior of codes.
    """
    parent = RunFolder(Path(cfg.run.refit_of))
    if not isinstance(method, Refits):
        raise Refused(f"run.refit_of={parent.path}: {cfg.model.name} has no prior of codes to fit")
    part = method.refitted_part()
    if (reason := method.not_refitted()) is not None:
        raise Refused(f"run.refit_of={parent.path}: {reason}, so another {part} would give the same samples")
    if parent.path.resolve() == folder.path.resolve():
        raise Refused(f"run.refit_of={parent.path}: this is the run's own {part}")
    status = parent.status()
    if status["state"] == "running" or not is_trained(cfg, status) or not parent.weights.is_file():
        raise Refused(f"run.refit_of={parent.path}: expected a trained run, it is {status['state']}")
    keys = differing_options(read_config(parent.path), cfg)
    allowed = tuple(f"model.{option}." for option in (part, *method.sampling_options))
    if others := [key for key in keys if not f"{key}.".startswith(allowed)]:
        raise Refused(
            f"run.refit_of={parent.path}: expected another {part} and nothing else, {', '.join(others)} differ"
        )
    return parent


def run_with_phase(folder: RunFolder, phase: Phase, key: str) -> RunFolder | None:
    """Return another run, in a folder beside this one, that has finished this phase with the same key; None if there is none."""
    from genrun.runs.weights import read_weights

    for path in sorted(folder.path.parent.iterdir()):
        other = RunFolder(path)
        with contextlib.suppress(Refused):  # a damaged status.json, or damaged weights
            if path != folder.path and other.stage_done(phase.stage, key):
                read_weights(other.phase(phase).weights, phase.name)
                return other
    return None


def is_whole(checkpoint: Path) -> bool:
    """Return whether a checkpoint exists and is whole; rename a damaged one to `.damaged`.

    Raises:
        Refused: the file system does not give it.
    """
    if not checkpoint.is_file():
        return False
    import torch

    try:
        content = torch.load(checkpoint, map_location="meta", weights_only=True)
        check_form(content, CHECKPOINT)
    except MemoryError:
        raise
    except OSError as error:
        raise Refused(f"{checkpoint} cannot be read ({error.strerror or error}); the file is kept as it is") from error
    except Exception as error:  # torch and pickle raise a dozen types for a damaged file
        log.warning("%s cannot be read (%s): renamed to .damaged, training starts over", checkpoint, error)
        checkpoint.rename(checkpoint.with_suffix(".damaged"))
        return False
    return True
