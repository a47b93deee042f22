"""Where a run comes from: command, code, versions, machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

import genrun

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "hydra-core", "numpy", "scikit-learn", "torchmetrics")


def provenance(cfg: DictConfig, overrides: list[str], identity: dict[str, Any]) -> dict[str, Any]:
    """A plain record of the command, the code and the machine."""
    import torch

    return {
        "command": ["genrun", *sys.argv[1:]],
        "overrides": overrides,
        "git": git_state(),
        "versions": {"genrun": genrun.__version__, "python": platform.python_version()}
        | {package: version(package) for package in PACKAGES},
        "machine": machine(),
        "device": torch.cuda.get_device_name()
        if torch.cuda.is_available() and cfg.hardware.accelerator != "cpu"
        else "cpu",
        "checksum": cfg.data.facts.checksum,
        "seed": cfg.seed,
        "identity": identity,
    }


def machine() -> dict[str, Any]:
    """What decides whether floating-point sums come out the same."""
    import torch

    return {
        "system": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def git_state() -> dict[str, Any] | None:
    """Commit of the checkout that genrun runs from and whether it was changed; None outside a checkout."""

    def git(*arguments: str) -> str:
        folder = Path(genrun.__file__).parent
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
