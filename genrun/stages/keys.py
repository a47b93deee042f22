"""Hash what each stage of a run depends on, and tell whether a run is done. This module does not import torch."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from genrun.config.container import to_container
from genrun.report.compare import runs_beside, table_rows
from genrun.runs.folder import TABLE, RunFolder
from genrun.runs.identity import digest
from genrun.runs.phases import phase_keys

# Versions of the table (see `genrun.runs.folder.TABLE`) before the present one, with the options of the evaluation that came after them. A
# table of such a version stays until the run is judged again on request; its command does not judge it again by itself.
EARLIER: dict[int, tuple[str, ...]] = {2: ("observer", "plain_words")}

# Options of the evaluation that were added later, with the value that gives the table as before. An option with this value is left out
# of the key, so that finished runs are not judged again.
NEUTRAL: dict[str, Any] = {"sliced": 0, "linear_probe": 0, "combinations": 0, "blends": 0, "mixed_training": []}
NEUTRAL |= {"robust": False}


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
        "evaluate": _kept_table(sampled, cfg, folder) or evaluate_key(sampled, cfg, folder),
    }


def evaluate_key(sampled: str, cfg: DictConfig, folder: RunFolder, version: int = TABLE) -> str:
    """Return the key of the `evaluate` stage, given the key of the `sample` stage.

    Args:
        version: of the table that the stage makes.
    """
    options = to_container(cfg.evaluation)
    neutral = NEUTRAL | {key: options.get(key) for key in EARLIER.get(version, ())}
    asked = {key: value for key, value in options.items() if key not in neutral or value != neutral[key]}
    return digest([sampled, asked, version, *_beside_key(cfg, folder)])


def _kept_table(sampled: str, cfg: DictConfig, folder: RunFolder) -> str | None:
    """Return the key of the table of an earlier version that the run has and keeps; None if there is none, or the run starts over."""
    if cfg.run.resume == "never":
        return None
    keys = (evaluate_key(sampled, cfg, folder, version) for version in EARLIER)
    return next((key for key in keys if folder.stage_done("evaluate", key)), None)


def older_table(folder: RunFolder) -> str:
    """Return a line that says that the table of a finished run is of an earlier version; empty if it is not."""
    results = folder.results()
    version = results.get("table", 2)  # tables have had a number since the third
    of_classifier = any(str(row.get("name")).endswith("(classifier)") for row in table_rows(folder))
    if not isinstance(version, int) or version >= TABLE or not of_classifier:
        return ""
    return (
        f"this table is of an earlier judge (version {version}, now {TABLE}), whose distances cannot be compared with new ones; "
        f"judge the run again: genrun evaluate {folder.path}"
    )


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
