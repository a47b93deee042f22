"""Record how a run was made: command, code, versions, machine."""

from __future__ import annotations

import json
import logging
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

import genrun
from genrun.runs.folder import RunFolder
from genrun.system.console import say
from genrun.system.files import write_json

log = logging.getLogger(__name__)

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "hydra-core", "numpy", "scikit-learn", "torchmetrics")


def provenance(cfg: DictConfig, overrides: list[str], identity: dict[str, Any]) -> dict[str, Any]:
    """Return a record of the command, the code, the versions, the machine, the data and the seed, as plain containers."""
    import torch

    from genrun.system.hardware import kind_of, precision, processes

    return {
        "command": ["genrun", *sys.argv[1:]],
        "overrides": overrides,
        "git": git_state(),
        "versions": {"genrun": genrun.__version__, "python": platform.python_version()}
        | {package: version(package) for package in PACKAGES},
        "machine": machine() | {"precision": precision(cfg), "devices": processes(cfg)},
        "device": torch.cuda.get_device_name() if (kind := kind_of(cfg.hardware.accelerator)) == "cuda" else kind,
        "checksum": cfg.data.facts.checksum,
        "seed": cfg.seed,
        "identity": identity,
    }


def machine() -> dict[str, Any]:
    """Return what can change the result of floating-point sums: system, processor, cores and threads."""
    import torch

    return {
        "system": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def device_name(cfg: DictConfig) -> str:
    """Return the name of the device that trains: of the GPU, or of the processor."""
    import torch

    from genrun.system.hardware import kind_of

    kind = kind_of(str(cfg.hardware.accelerator))
    return torch.cuda.get_device_name() if kind == "cuda" else processor() if kind == "cpu" else kind


def checks_of(folder: RunFolder) -> dict[str, dict[str, Any]]:
    """Return what provenance.json records of the checks of the arithmetic: stage of a phase → how it ended. Nothing if it is damaged."""
    try:
        return json.loads((folder.path / "provenance.json").read_text()).get("arithmetic", {})
    except (OSError, ValueError, AttributeError):
        return {}


def record_check(folder: RunFolder, stage: str, outcome: dict[str, Any]) -> None:
    """Record in provenance.json how the check of the arithmetic in the stage of a phase ended."""
    file = folder.path / "provenance.json"
    record = json.loads(file.read_text()) if file.is_file() else {}  # a dry run has none
    write_json(file, record | {"arithmetic": checks_of(folder) | {stage: outcome}})


def git_state() -> dict[str, Any] | None:
    """Return the git commit of the code, and whether the checkout has changes; None if genrun does not run from a checkout."""

    def git(*arguments: str) -> str:
        folder = Path(genrun.__file__).parent
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


def write_provenance(folder: RunFolder, record: dict[str, Any], parent: RunFolder | None, console: Console) -> None:
    """Write provenance.json; for a resumed run, add what differs from the first attempt.

    Warn if the machine or the number of threads changed, because floating-point numbers are then summed in another order.

    Args:
        parent: the run whose training this run takes over or continues.
    """
    file = folder.path / "provenance.json"
    began = folder.has_checkpoint() or folder.weights.is_file()  # a finished run may have kept no checkpoint
    first = json.loads(file.read_text()) if file.is_file() else {}
    if not (first and began):
        checked = {
            key: first[key] for key in ("arithmetic",) if key in first
        }  # what an attempt without a checkpoint found
        write_json(file, record | {"parent": parent and parent.path.name, "resumed": []} | checked)
    else:
        later = {key: value for key, value in record.items() if first.get(key) != value}
        write_json(file, first | {"resumed": [*first["resumed"], later]})
        changed = [key for key, value in record["machine"].items() if first["machine"].get(key, value) != value]
        if changed:
            line = f"warning: {', '.join(changed)} changed since this run began; it goes on, but not bit for bit"
            log.warning(line)
            say(console, line)
