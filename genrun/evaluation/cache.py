"""A cache of tensors in safetensors files. A missing or damaged file is made again."""

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


def cached(place: Path, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the tensors in the file `place`, or call `make` and save its tensors there if the file cannot be read.

    If several processes miss the same file, one makes it and the others wait for it.
    """
    if (found := read_tensors(place)) is not None:
        return found
    with exclusive_lock(place):
        if (found := read_tensors(place)) is not None:
            return found
        made = make()
        with contextlib.suppress(OSError):  # a cache that cannot be written must not stop the run
            write_atomic(place, save({name: tensor.contiguous() for name, tensor in made.items()}))
    return made


def read_tensors(place: Path) -> dict[str, Tensor] | None:
    """Return the tensors in a file; None if the file is missing or damaged."""
    try:
        return load_file(place)
    except (OSError, SafetensorError):
        return None


@contextlib.contextmanager
def exclusive_lock(place: Path) -> Iterator[None]:
    """Hold a lock, so that only one process at a time makes this file.

    If the file system has no locks, no process waits, and the file that is written last stays.
    """
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


def as_tensors(values: dict[str, float]) -> dict[str, Tensor]:
    """Return plain numbers as tensors, so that `cached` can save them."""
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}


def hash_of(network: nn.Module) -> str:
    """Return the sha256 of the names, shapes and bytes of a network's weights and buffers."""
    sha = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        sha.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        sha.update(value.detach().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()
