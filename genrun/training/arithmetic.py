"""Decide in which precision a phase is trained, and whether the device's arithmetic is checked in its first step."""

from __future__ import annotations

import torch
from omegaconf import DictConfig
from pytorch_lightning import Callback

from genrun.callbacks.arithmetic import ArithmeticCheck
from genrun.runs.folder import RunFolder
from genrun.runs.provenance import checks_of, device_name, record_check
from genrun.system.hardware import precision
from genrun.types import Phase


def precision_of(cfg: DictConfig, folder: RunFolder, phase: Phase) -> str:
    """Return the precision in which a phase is trained: 32 bits if `hardware.precision=auto` and an earlier attempt found a fault."""
    kept = cfg.run.resume != "never"  # else the folder is still that of the run before
    if kept and str(cfg.hardware.precision) == "auto" and "fault" in checks_of(folder).get(phase.stage, {}):
        return "32-true"
    return precision(cfg)


def check_of(cfg: DictConfig, folder: RunFolder, phase: Phase, used: str) -> list[Callback]:
    """Return the callback that checks the arithmetic of a phase's first step.

    There is none for 32 and 64 bits, and for compiled networks, whose operations cannot be told apart.

    Args:
        used: the precision.
    """
    if "16" not in used or cfg.hardware.compile:
        return []
    here = {"precision": used, "device": device_name(cfg), "torch": torch.__version__}

    def needed() -> bool:
        recorded = checks_of(folder).get(phase.stage, {})
        return "fault" in recorded or any(recorded.get(key) != value for key, value in here.items())

    def passed(operations: int) -> None:
        record_check(folder, phase.stage, here | {"operations": operations})

    return [ArithmeticCheck(needed, passed)]


def record_fault(cfg: DictConfig, folder: RunFolder, phase: Phase, fault: str) -> None:
    """Record in provenance.json what is wrong with the arithmetic of a phase."""
    here = {"precision": precision(cfg), "device": device_name(cfg), "torch": torch.__version__}
    record_check(folder, phase.stage, here | {"fault": fault})
