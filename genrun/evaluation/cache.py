"""What is computed once and kept: whole safetensors files, made anew when they are missing or damaged."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from genrun.system.files import write_atomic


def kept(place: Path, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors in the file `place`; when it is not there or cannot be read, what `make` returns, kept there for the next time.

    Of several processes that miss the same file one makes it, the others wait for it.
    """
    if (found := read(place)) is not None:
        return found
    with alone(place):
        if (found := read(place)) is not None:
            return found
        made = make()
        with contextlib.suppress(OSError):  # a cache that cannot be written is no reason to stop
            write_atomic(place, save({name: tensor.contiguous() for name, tensor in made.items()}))
    return made


def read(place: Path) -> dict[str, Tensor] | None:
    """None: not there, or cut short."""
    try:
        return load_file(place)
    except (OSError, SafetensorError):
        return None


@contextlib.contextmanager
def alone(place: Path) -> Iterator[None]:
    """Wait until no other process makes this file; where nothing can be locked nobody waits, and the last one's file stays."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(place.with_name(f".{place.stem}.lock"), os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        yield
        return
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)


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
