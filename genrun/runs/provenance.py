"""Record how a run was made: command, code, versions, machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

import genrun
from genrun.runs.checkout import Checkout
from genrun.runs.folder import RunFolder
from genrun.system.console import say
from genrun.system.files import write_atomic, write_json

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "hydra-core", "numpy", "scikit-learn", "torchmetrics")


def provenance(
    cfg: DictConfig, command: Sequence[str], overrides: list[str], identity: dict[str, Any], code: Checkout | None
) -> dict[str, Any]:
    """Return a record of the command, the code, the versions, the machine, the data and the seed, as plain containers."""
    import torch

    from genrun.system.hardware import kind_of, precision, processes

    return {
        "command": list(command),
        "overrides": overrides,
        "git": code and code.to_dict(),
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


def threads_of(folder: RunFolder) -> int | None:
    """Return the number of threads that the last attempt of a run computed with; None: no attempt left something to go on from."""
    first = folder.provenance()
    if "threads" not in first.get("machine", {}) or not began(folder):
        return None
    return (
        first["resumed"][-1].get("machine", first["machine"])["threads"]
        if first["resumed"]
        else first["machine"]["threads"]
    )


def began(folder: RunFolder) -> bool:
    """Return whether an earlier attempt left training to go on from: a checkpoint, or the weights of a finished run without any."""
    return folder.has_checkpoint() or folder.weights.is_file()


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
    """Return what provenance.json records of the checks of the arithmetic: stage of a phase → how it ended."""
    return folder.provenance().get("arithmetic", {})


def record_check(folder: RunFolder, stage: str, outcome: dict[str, Any]) -> None:
    """Record in provenance.json how the check of the arithmetic in the stage of a phase ended."""
    record = folder.provenance() or {"machine": {}, "versions": {}, "resumed": []}  # a dry run has none
    checks = record.get("arithmetic", {}) | {stage: outcome}
    write_json(folder.path / "provenance.json", record | {"arithmetic": checks})


def write_provenance(
    folder: RunFolder, record: dict[str, Any], code: Checkout | None, parent: RunFolder | None, console: Console
) -> None:
    """Write provenance.json, and uncommitted changes of the code as a patch; for a resumed run, add what differs from the first attempt.

    Warn if the machine, the number of threads, the code or a version changed: floating-point numbers are then summed in another order, or
    other numbers are.

    Args:
        record: see `provenance`.
        code: the checkout of the code; None: there is none.
        parent: the run whose training this run takes over or continues.
    """
    file = folder.path / "provenance.json"
    if code is not None and code.patch:
        write_atomic(folder.path / code.patch_name, code.patch)
    first = folder.provenance()
    if not (first and began(folder)):
        # what an attempt without a checkpoint found
        checked = {"arithmetic": first["arithmetic"]} if "arithmetic" in first else {}
        write_json(file, record | {"parent": parent and parent.path.name, "resumed": []} | checked)
    else:
        later = {key: value for key, value in record.items() if first.get(key) != value}
        write_json(file, first | {"resumed": [*first["resumed"], later]})
        if changed := changes(first, record):
            then = "what is made now may differ" if folder.weights.is_file() else "it goes on, but not bit for bit"
            line = f"warning: {', '.join(changed)} changed since this run began; {then}"
            say(console, line)


def changes(first: Mapping[str, Any], record: Mapping[str, Any]) -> list[str]:
    """Return in words what changed since the first attempt of a run and may change its numbers: machine, versions, code."""
    machine, versions = (
        [key for key, value in record[part].items() if first[part].get(key, value) != value]
        for part in ("machine", "versions")
    )
    named = [f"{key} ({first['versions'][key]}, now {record['versions'][key]})" for key in versions]
    before, now = first.get("git") or {}, record["git"] or {}
    if before.get("commit") != now.get("commit"):
        named.append(f"genrun's commit ({str(before.get('commit'))[:8]}, now {str(now.get('commit'))[:8]})")
    elif "patch" in before and before["patch"] != now.get("patch"):
        named.append("genrun's uncommitted code")
    return [*machine, *named]
