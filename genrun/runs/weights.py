"""Save and load the weights of a method as safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from genrun.errors import Refused
from genrun.system.files import write_atomic
from genrun.types import Resizes

if TYPE_CHECKING:
    import torch

    from genrun.methods.method import Method


def save_weights(file: Path, method: Method) -> None:
    """Write the weights and buffers of a method to a safetensors file."""
    state = {name: value.detach().cpu().contiguous() for name, value in method.state_dict().items()}
    write_atomic(file, save(state))


def read_weights(file: Path, why: str) -> dict[str, torch.Tensor]:
    """Read a safetensors file and return its tensors by name.

    Args:
        why: the purpose, with which an error message begins.

    Raises:
        Refused: the file is missing or damaged.
    """
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise Refused(f"{why}: {file} cannot be read ({error})") from error


def load_weights(method: Method, file: Path, why: str) -> None:
    """Load weights from a safetensors file into a method.

    Args:
        why: the purpose, with which an error message begins.

    Raises:
        Refused: the file is missing or damaged, or belongs to another architecture or data set.
    """
    state = read_weights(file, why)
    for name, part in method.named_modules():
        if isinstance(part, Resizes):
            prefix = f"{name}."
            part.resize(
                {key.removeprefix(prefix): value.shape for key, value in state.items() if key.startswith(prefix)}
            )
    mine = method.state_dict()
    for name in sorted(mine.keys() | state.keys()):
        expected = tuple(mine[name].shape) if name in mine else "nothing"
        got = tuple(state[name].shape) if name in state else "nothing"
        if expected != got:
            raise Refused(f"{why}: weights of another model in {file}: '{name}' expected {expected}, got {got}")
    method.load_state_dict(state)
