"""What this machine computes with, and what of it a run asks for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch
from omegaconf import DictConfig
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from genrun.errors import Refused, nearest

if TYPE_CHECKING:
    from genrun.methods.method import Method

KINDS = {"cpu": "cpu", "gpu": "cuda", "cuda": "cuda", "mps": "mps"}  # hardware.accelerator -> torch's name


def kind_of(accelerator: str) -> str:
    """`cuda`, `mps` or `cpu`: what `hardware.accelerator` stands for here."""
    if accelerator != "auto":
        return KINDS[accelerator]
    return next(kind for kind in ("cuda", "mps", "cpu") if available(kind))


def available(kind: str) -> bool:
    """Whether this machine has a device of one of torch's kinds."""
    return {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}.get(kind, lambda: True)()


def device_of(cfg: DictConfig) -> torch.device:
    """The device that trains, which samples and judges as well: the first one where several train.

    Of a run that was trained elsewhere, on what this machine lacks, it is the processor.
    """
    kind = kind_of(str(cfg.hardware.accelerator))
    return torch.device(kind if available(kind) else "cpu")


def processes(cfg: DictConfig) -> int:
    """How many processes share each batch, a device for each."""
    if cfg.hardware.devices != "auto":
        return cfg.hardware.devices
    return max(1, torch.cuda.device_count()) if kind_of(cfg.hardware.accelerator) == "cuda" else 1


def threads_of_each(cfg: DictConfig) -> int:
    """Threads of each of the processes that train: `hardware.threads`, or its part of what torch would use by itself."""
    return cfg.hardware.threads or max(1, torch.get_num_threads() // processes(cfg))


def there_is() -> str:
    """The devices of this machine, in words."""
    found = [f"cpu ({os.cpu_count()} cores)"]
    if count := torch.cuda.device_count() if torch.cuda.is_available() else 0:
        found.append(f"gpu ({count}: {torch.cuda.get_device_name()})")
    if torch.backends.mps.is_available():
        found.append("mps")
    return ", ".join(found)


def check_device(cfg: DictConfig) -> None:
    """Refuse a device that this machine lacks, and more of them than it has.

    Raises:
        Refused: in a line that names what there is.
    """
    asked, devices = str(cfg.hardware.accelerator), cfg.hardware.devices
    if asked not in (choices := ("auto", *KINDS)):
        raise Refused(
            f"hardware.accelerator: expected one of {', '.join(choices)}, got {asked!r}{nearest(asked, choices)}"
        )
    if not available(kind := kind_of(asked)):
        raise Refused(f"hardware.accelerator={asked}: this machine has none that torch can use; it has {there_is()}")
    # the processor takes any number of processes
    most = {"cuda": torch.cuda.device_count(), "mps": 1}.get(kind)
    if devices != "auto" and most is not None and devices > most:
        raise Refused(f"hardware.devices={devices}: this machine has fewer for {asked}; it has {there_is()}")


def check_method(cfg: DictConfig, method: Method) -> None:
    """Refuse what the method cannot do on the hardware that is asked for.

    Raises:
        Refused: with the method's own reason.
    """
    name, by_itself = cfg.model.name, not method.automatic_optimization
    if cfg.hardware.compile and (reason := method.not_compiled()) is not None:
        raise Refused(f"hardware.compile=true: {reason}")
    if by_itself and (cfg.trainer.gradient_clip_val or cfg.trainer.accumulate_grad_batches != 1):
        raise Refused(
            f"trainer.gradient_clip_val and trainer.accumulate_grad_batches: {name} steps by itself, leave them"
        )
    if by_itself and cfg.hardware.precision == "16-mixed":
        raise Refused(f"hardware.precision=16-mixed scales gradients, and {name} steps by itself: use bf16-mixed")
    if cfg.hardware.memory_format == "channels_last" and not convolves(method):
        raise Refused(f"hardware.memory_format=channels_last is of convolutions, and {name} has none: leave it")
    if (many := processes(cfg)) > 1:
        check_shared(cfg, method, many)


def check_shared(cfg: DictConfig, method: Method, many: int) -> None:
    """Refuse to share each batch among several processes where they would not compute what one does.

    Raises:
        Refused: with the reason.
    """
    asked = f"hardware.devices={cfg.hardware.devices}"
    if (reason := method.not_shared()) is not None:
        raise Refused(f"{asked}: {reason}; train {cfg.model.name} with hardware.devices=1")
    if normalises_batches(method) and kind_of(cfg.hardware.accelerator) != "cuda":
        raise Refused(
            f"{asked}: {cfg.model.name} normalises over the batch, which several processes do together only on GPUs; "
            "use hardware.devices=1"
        )
    if cfg.data.batch_size < many:
        raise Refused(
            f"{asked}: expected data.batch_size of at least {many}, an image for each, got {cfg.data.batch_size}"
        )


def convolves(method: Method) -> bool:
    """Whether there are convolutions over images in it."""
    return any(isinstance(part, nn.Conv2d | nn.ConvTranspose2d) for part in method.modules())


def normalises_batches(method: Method) -> bool:
    """Whether there are layers in it that see all images of a batch at once."""
    return any(isinstance(part, _BatchNorm) for part in method.modules())


def precision(cfg: DictConfig) -> str:
    """`hardware.precision` with `auto` resolved: bfloat16 for the products where the device has it, else 32 bits.

    A processor without it would emulate it, many times slower. The run is the same run either way, as it is on any other processor;
    provenance.json tells which it was.
    """
    asked = str(cfg.hardware.precision)
    if asked != "auto":
        return asked
    return "bf16-mixed" if computes_bfloat16(cfg.hardware.accelerator) else "32-true"


def computes_bfloat16(accelerator: str) -> bool:
    """Whether the device that an accelerator's name stands for has instructions for products in bfloat16."""
    kind = kind_of(accelerator)
    if kind == "cuda":
        return available(kind) and torch.cuda.is_bf16_supported(including_emulation=False)
    if kind == "mps":
        return False
    has = getattr(torch.cpu, "get_capabilities", dict)()  # not known before torch 2.10 or so: 32 bits
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))
