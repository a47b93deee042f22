"""Hash what each stage of a run depends on, and tell whether a run is done. This module does not import torch."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from genrun.config.container import to_container
from genrun.report.compare import runs_beside, table_rows
from genrun.runs.folder import RunFolder
from genrun.runs.identity import digest
from genrun.runs.phases import phase_keys

TABLE_VERSION = 2  # raise it when the same samples would give another table; finished runs are then judged again

# Options of the evaluation that were added later, with the value that gives the table as before. An option with this value is left out
# of the key, so that finished runs are not judged again.
NEUTRAL: dict[str, Any] = {"sliced": 0, "linear_probe": 0, "combinations": 0, "blends": 0, "mixed_training": []}


def stage_keys(cfg: DictConfig, folder: RunFolder) -> dict[str, str]:
    """Return, for each stage in order, the hash of everything that its result depends on.

    Raises:
        Refused: `run.beside` names something that is not a finished run.
    """
    keys = phase_keys(cfg)
    trained = list(keys.values())[-1]
    sampled = digest([trained, cfg.sample.n, cfg.sample.chunk])
    figure_options = [
        to_container(cfg.callbacks.watching),
        to_container(cfg.evaluation.get("classifier")),  # the classifier sorts the samples by class
    ]
    drawn = digest([sampled, *figure_options, *_beside_key(cfg, folder)])
    # figures that are there stay, unless the run starts over
    stay = cfg.run.resume != "never" and folder.stage_done("figures", drawn)
    if not cfg.run.get("figures", True) and not stay:
        drawn = digest([drawn, "no figures"])
    return keys | {
        "refit": trained,
        "sample": sampled,
        "figures": drawn,
        "evaluate": evaluate_key(sampled, cfg, folder),
    }


def evaluate_key(sampled: str, cfg: DictConfig, folder: RunFolder) -> str:
    """Return the key of the `evaluate` stage, given the key of the `sample` stage."""
    options = to_container(cfg.evaluation)
    asked = {key: value for key, value in options.items() if key not in NEUTRAL or value != NEUTRAL[key]}
    return digest([sampled, asked, TABLE_VERSION, *_beside_key(cfg, folder)])


def _beside_key(cfg: DictConfig, folder: RunFolder) -> list[list[str]]:
    """Return the name and the hash of the table of each run that `run.beside` names; an empty list if there is none."""
    return [[other.path.name, digest(table_rows(other))] for other in runs_beside(cfg, folder)]


def state_of(cfg: DictConfig, folder: RunFolder) -> str:
    """Return the state in which a command would find the run: `done`, `to resume`, `failed: <error>` or `new`."""
    if folder.finished(stage_keys(cfg, folder)):
        return "done"
    if folder.status().get("error_kind") == "NotFinite":
        return f"failed: {folder.status()['error']}"
    return "new" if folder.status()["state"] == "new" else "to resume"
