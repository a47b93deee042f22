"""Decide in which precision a phase is trained, and whether the device's arithmetic is checked in its first step."""

from __future__ import annotations

import torch
from omegaconf import DictConfig
from pytorch_lightning import Callback

from genrun.callbacks.arithmetic import ArithmeticCheck
from genrun.runs.folder import RunFolder
from genrun.runs.provenance import arithmetic_of, device_name, record_arithmetic
from genrun.system.hardware import precision
from genrun.types import Phase


def precision_of(cfg: DictConfig, folder: RunFolder, phase: Phase) -> str:
    """Return the precision in which a phase is trained: 32 bits if `hardware.precision=auto` and the check found a fault."""
    if str(cfg.hardware.precision) == "auto" and arithmetic_of(folder, phase.stage).get("fault"):
        return "32-true"
    return precision(cfg)


def check_of(cfg: DictConfig, folder: RunFolder, phase: Phase) -> list[Callback]:
    """Return the callback that checks the arithmetic of a phase's first step.

    There is none for 32 and 64 bits, for a training that goes on where it passed the check, and for compiled networks, whose operations
    cannot be told apart.
    """
    used = precision_of(cfg, folder, phase)
    if "16" not in used or cfg.hardware.compile:
        return []
    here = {"precision": used, "device": device_name(cfg), "torch": torch.__version__}
    recorded = arithmetic_of(folder, phase.stage)
    if all(recorded.get(key) == value for key, value in here.items()):
        return []
    return [
        ArithmeticCheck(lambda operations: record_arithmetic(folder, phase.stage, here | {"operations": operations}))
    ]


def record_fault(cfg: DictConfig, folder: RunFolder, phase: Phase, fault: str) -> None:
    """Record in provenance.json what is wrong with the arithmetic of a phase."""
    here = {"precision": precision(cfg), "device": device_name(cfg), "torch": torch.__version__}
    record_arithmetic(folder, phase.stage, here | {"fault": fault})
