"""List the phases of a run's training, and hash what each of them depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from genrun.runs.folder import RunFolder
from genrun.runs.identity import digest, identity
from genrun.types import Phase


def phases_of(cfg: DictConfig) -> list[Phase]:
    """Return the phases that `model.phases` names, in order; one phase without a name if the YAML has none.

    This reads only the configuration, so that a finished run is recognised without building its method.
    """
    named = cfg.model.get("phases") or {}
    if not named:
        return [Phase(max_epochs=cfg.trainer.max_epochs)]
    last = list(named)[-1]
    return [Phase(str(name), options.max_epochs, name == last) for name, options in named.items()]


def phase_keys(cfg: DictConfig) -> dict[str, str]:
    """Return, for the stage of each phase, the hash of everything that its result depends on.

    A phase depends on its own options and those of earlier phases, not on those of later phases. If two runs differ only in
    `model.phases.<last>`, their earlier phases have the same keys. The key of the last phase is the run's id.
    """
    result = {}
    phases = phases_of(cfg)
    for place, phase in enumerate(phases):
        what = identity(cfg)
        for later in phases[place + 1 :]:
            del what["model"]["phases"][later.name]
        result[phase.stage] = digest(what)
    return result


def earlier_weights(folder: RunFolder, phases: list[Phase], phase: Phase) -> Path | None:
    """Return the file of the weights with which a phase starts, those of the phase before it; None for the first phase."""
    place = phases.index(phase)
    return folder.phase(phases[place - 1]).weights if place else None


def is_trained(cfg: DictConfig, status: dict[str, Any]) -> bool:
    """Return whether the training is complete, all phases included, according to the run's status.json."""
    return phases_of(cfg)[-1].stage in status["stages"]
