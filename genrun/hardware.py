"""What this machine computes with."""

from __future__ import annotations

import torch
from omegaconf import DictConfig


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
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if accelerator not in ("auto", "cpu") or (accelerator == "auto" and torch.backends.mps.is_available()):
        return False
    has = getattr(torch.cpu, "get_capabilities", dict)()  # not known before torch 2.10 or so: 32 bits
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))
