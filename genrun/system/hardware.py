"""The devices and cores of this machine, and those that a run asks for.

torch is imported where it is used: a sweep asks for `cores` and must stay quick.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from genrun.errors import Refused, nearest

if TYPE_CHECKING:
    import torch

    from genrun.methods.method import Method

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")

KINDS = {"cpu": "cpu", "gpu": "cuda", "cuda": "cuda", "mps": "mps"}  # hardware.accelerator -> torch's name


def cores() -> int:
    """Return the number of cores that this process may use: those of its affinity, or fewer if its container has a quota of time."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([here, *quotas()])))


def quotas() -> Iterator[float]:
    """Yield each limit of processor time, in cores, of this process's cgroups and of those above them (versions 1 and 2)."""
    owns = {""}  # inside a container, the root is often its own cgroup, whatever /proc says
    with contextlib.suppress(OSError):
        owns |= {line.split(":", 2)[2] for line in OWN_CGROUPS.read_text().splitlines() if line.count(":") >= 2}
    for own in owns:
        for group in (Path(own.lstrip("/")), *Path(own.lstrip("/")).parents):
            for controller in ("", "unified", "cpu", "cpu,cpuacct"):
                folder = CGROUPS / controller / group
                with contextlib.suppress(OSError, ValueError):  # no such file, or no quota, which is the word `max`
                    quota, period = (folder / "cpu.max").read_text().split()
                    yield int(quota) / int(period)
                with contextlib.suppress(OSError, ValueError):
                    quota, period = (int((folder / f"cpu.cfs_{what}_us").read_text()) for what in ("quota", "period"))
                    if quota > 0:  # -1: no quota
                        yield quota / period


def kind_of(accelerator: str) -> str:
    """Return the kind of device that `hardware.accelerator` means on this machine: `cuda`, `mps` or `cpu`.

    Raises:
        Refused: there is no such kind.
    """
    if accelerator not in (choices := ("auto", *KINDS)):
        hint = nearest(accelerator, choices)
        raise Refused(f"hardware.accelerator: expected one of {', '.join(choices)}, got {accelerator!r}{hint}")
    if accelerator != "auto":
        return KINDS[accelerator]
    return next(kind for kind in ("cuda", "mps", "cpu") if available(kind))


def available(kind: str) -> bool:
    """Return whether this machine has a device of this kind (torch's name)."""
    import torch

    return {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}.get(kind, lambda: True)()


def device_of(cfg: DictConfig) -> torch.device:
    """Return the device that trains, samples and judges: the first one if several train.

    Return the CPU for a run that was trained on a device that this machine lacks.
    """
    import torch

    kind = kind_of(str(cfg.hardware.accelerator))
    return torch.device(kind if available(kind) else "cpu")


def processes(cfg: DictConfig) -> int:
    """Return the number of processes that share each batch, with one device each."""
    import torch

    if cfg.hardware.devices != "auto":
        return cfg.hardware.devices
    return max(1, torch.cuda.device_count()) if kind_of(cfg.hardware.accelerator) == "cuda" else 1


def threads_of_each(cfg: DictConfig) -> int:
    """Return the number of threads of each training process: `hardware.threads`, or its share of torch's default."""
    import torch

    return cfg.hardware.threads or max(1, torch.get_num_threads() // processes(cfg))


def devices_here() -> str:
    """Return the devices of this machine in words, for error messages."""
    import torch

    found = [f"cpu ({cores()} cores)"]
    if count := torch.cuda.device_count() if torch.cuda.is_available() else 0:
        found.append(f"gpu ({count}: {torch.cuda.get_device_name()})")
    if torch.backends.mps.is_available():
        found.append("mps")
    return ", ".join(found)


def check_device(cfg: DictConfig) -> None:
    """Refuse a device that this machine lacks, or more devices than it has.

    Raises:
        Refused: the device or the number of devices is not available; the message names the devices of this machine.
    """
    import torch

    asked, devices = str(cfg.hardware.accelerator), cfg.hardware.devices
    if not available(kind := kind_of(asked)):
        raise Refused(
            f"hardware.accelerator={asked}: this machine has none that torch can use; it has {devices_here()}"
        )
    # the CPU takes any number of processes
    most = {"cuda": torch.cuda.device_count(), "mps": 1}.get(kind)
    if devices != "auto" and most is not None and devices > most:
        raise Refused(f"hardware.devices={devices}: this machine has fewer for {asked}; it has {devices_here()}")


def check_method(cfg: DictConfig, method: Method) -> None:
    """Refuse hardware and trainer options that the method does not support.

    Raises:
        Refused: an option is not supported; the message gives the reason.
    """
    name, manual = cfg.model.name, not method.automatic_optimization
    if cfg.hardware.compile and (reason := method.not_compiled()) is not None:
        raise Refused(f"hardware.compile=true: {reason}")
    if manual and cfg.trainer.accumulate_grad_batches != 1:
        raise Refused(
            f"trainer.accumulate_grad_batches={cfg.trainer.accumulate_grad_batches}: {name} steps by itself; leave it at 1"
        )
    clipping = cfg.trainer.get("gradient_clip_val")
    if clipping and not any(weight.requires_grad for weight in method.parameters()):
        raise Refused(f"trainer.gradient_clip_val={clipping}: {name} has no gradients; leave it null")
    if "mixed" in str(cfg.hardware.precision) and next(method.parameters(), None) is None:
        raise Refused(
            f"hardware.precision={cfg.hardware.precision}: {name} has no network to compute in it; use 32-true"
        )
    if manual and cfg.hardware.precision == "16-mixed":
        raise Refused(f"hardware.precision=16-mixed scales gradients, and {name} steps by itself: use bf16-mixed")
    if cfg.hardware.memory_format == "channels_last" and not has_convolutions(method):
        raise Refused(f"hardware.memory_format=channels_last is for convolutions, and {name} has none: leave it out")
    if (ranks := processes(cfg)) > 1:
        check_shared(cfg, method, ranks)


def check_shared(cfg: DictConfig, method: Method, ranks: int) -> None:
    """Refuse to share each batch among several ranks if they would not compute the same as one process.

    Raises:
        Refused: the batches cannot be shared; the message gives the reason.
    """
    asked = f"hardware.devices={cfg.hardware.devices}"
    if (reason := method.not_shared()) is not None:
        raise Refused(f"{asked}: {reason}; train {cfg.model.name} with hardware.devices=1")
    if has_batch_norm(method) and kind_of(cfg.hardware.accelerator) != "cuda":
        raise Refused(
            f"{asked}: {cfg.model.name} normalises over the batch, which several processes do together only on GPUs; "
            "use hardware.devices=1"
        )
    if cfg.data.batch_size < ranks:
        raise Refused(
            f"{asked}: expected data.batch_size of at least {ranks}, an image for each, got {cfg.data.batch_size}"
        )


def has_convolutions(method: Method) -> bool:
    """Return whether the method has convolutions over images."""
    from torch import nn

    return any(isinstance(part, nn.Conv2d | nn.ConvTranspose2d) for part in method.modules())


def has_batch_norm(method: Method) -> bool:
    """Return whether the method has batch normalisation, which uses all images of a batch at once."""
    from torch.nn.modules.batchnorm import _BatchNorm

    return any(isinstance(part, _BatchNorm) for part in method.modules())


def precision(cfg: DictConfig) -> str:
    """Return `hardware.precision`; `auto` is bfloat16 for products if the device has instructions for it, else 32 bits.

    A processor without these instructions would emulate bfloat16, many times slower. Either way it counts as the same
    run, as it does on any other processor; provenance.json records the precision that was used.
    """
    asked = str(cfg.hardware.precision)
    if asked != "auto":
        return asked
    return "bf16-mixed" if computes_bfloat16(cfg.hardware.accelerator) else "32-true"


def computes_bfloat16(accelerator: str) -> bool:
    """Return whether the device that an accelerator's name means has instructions for products in bfloat16."""
    import torch

    kind = kind_of(accelerator)
    if kind == "cuda":
        return available(kind) and torch.cuda.is_bf16_supported(including_emulation=False)
    if kind == "mps":
        return False
    has = getattr(torch.cpu, "get_capabilities", dict)()  # older torch (before about 2.10) cannot tell: 32 bits
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))
