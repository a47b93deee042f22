"""What is computed once and kept: whole safetensors files, made anew when they are missing or damaged."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from genrun.runs import write_atomic


def kept(place: Path, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors in the file `place`; when it is not there or cannot be read, what `make` returns, kept there for the next time."""
    try:
        return load_file(place)
    except (OSError, SafetensorError):  # not there, or cut short
        made = make()
    with contextlib.suppress(OSError):  # a cache that cannot be written is no reason to stop
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(place, save({name: tensor.contiguous() for name, tensor in made.items()}))
    return made


def numbers(values: dict[str, float]) -> dict[str, Tensor]:
    """Plain numbers as `kept` keeps them."""
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}


def hash_of(network: nn.Module) -> str:
    """sha256 over the names, shapes and bytes of a network's weights and buffers."""
    sha = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        sha.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        sha.update(value.detach().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()
