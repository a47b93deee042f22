"""The phases of a run's training, and what each depends on."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from genrun.runs.identity import digest, identity
from genrun.types import Phase


def phases_of(cfg: DictConfig) -> list[Phase]:
    """Return the phases that `model.phases` names, in their order; one without a name where the YAML has none.

    Read from the configuration alone, so that a finished run is recognised without building its method.
    """
    named = cfg.model.get("phases") or {}
    if not named:
        return [Phase(max_epochs=cfg.trainer.max_epochs)]
    last = list(named)[-1]
    return [Phase(str(name), options.max_epochs, name == last) for name, options in named.items()]


def phase_keys(cfg: DictConfig) -> dict[str, str]:
    """Return for the stage of each phase the hash of everything that its outcome depends on.

    A phase depends on the options of those before it and not on those after it: of two runs that differ in `model.phases.<last>` alone the
    earlier phases have the same keys. The key of the last phase is the run's id.
    """
    result = {}
    phases = phases_of(cfg)
    for place, phase in enumerate(phases):
        what = identity(cfg)
        for later in phases[place + 1 :]:
            del what["model"]["phases"][later.name]
        result[phase.stage] = digest(what)
    return result


def is_trained(cfg: DictConfig, status: dict[str, Any]) -> bool:
    """Whether the record of a run says that every phase of its training is over."""
    return phases_of(cfg)[-1].stage in status["stages"]
