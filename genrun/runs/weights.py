"""Save and load the weights of a method as safetensors."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from genrun.errors import Refused
from genrun.system.files import write_atomic
from genrun.types import Resizes

if TYPE_CHECKING:
    import torch

    from genrun.methods.method import Method

SPARE_BYTES = 2**28  # memory of a method besides its saved weights: schedules, masks
SPARE_PARTS = 10_000  # modules, weights and buffers of a method besides ten for each saved tensor


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
    _check_is_file(file, why)
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise Refused(f"{why}: {file} cannot be read ({_reason(error)})") from error


def load_weights(method: Method, file: Path, why: str) -> None:
    """Load weights from a safetensors file into a method.

    Args:
        why: the purpose, with which an error message begins.

    Raises:
        Refused: the file is missing or damaged, belongs to another architecture or data set, or has weights that are NaN or infinite.
    """
    state = read_weights(file, why)
    check_shapes(method, {name: tuple(value.shape) for name, value in state.items()}, file, why)
    for name, mine in method.state_dict().items():
        if state[name].is_complex() or state[name].is_floating_point() != mine.is_floating_point():
            kinds = f"expected {mine.dtype}, got {state[name].dtype}"
            raise Refused(f"{why}: the weights in {file} are damaged: '{name}' {kinds}")
        # a value that is not known yet may be NaN, as log Z of an RBM
        if state[name].isnan().any() and not mine.isnan().any():
            raise Refused(f"{why}: the weights in {file} are damaged: '{name}' has values that are NaN")
    for name, _ in method.named_parameters():
        if not state[name].isfinite().all():
            raise Refused(f"{why}: the weights in {file} are damaged: '{name}' has values that are infinite")
    method.load_state_dict(state)


def check_shapes(method: Method, shapes: Mapping[str, Sequence[int]], file: Path, why: str) -> None:
    """Check that weights of these shapes belong to a method; make room in its parts whose size only the weights tell.

    Args:
        shapes: name of a weight → its shape.
        file: the file of the weights, for the error message.
        why: the purpose, with which an error message begins.

    Raises:
        Refused: a weight is missing, is too much, or has another shape.
    """
    for name, part in method.named_modules():
        if isinstance(part, Resizes):
            prefix = f"{name}."
            part.resize({key.removeprefix(prefix): shape for key, shape in shapes.items() if key.startswith(prefix)})
    mine = method.state_dict()
    for name in sorted(mine.keys() | shapes.keys()):
        expected = tuple(mine[name].shape) if name in mine else "nothing"
        got = tuple(shapes[name]) if name in shapes else "nothing"
        if expected != got:
            raise Refused(f"{why}: weights of another model in {file}: '{name}' expected {expected}, got {got}")


def check_size(build: Callable[[], Method], file: Path, why: str) -> None:
    """Build a method without memory for its weights, and check that it is as large as a file of weights says.

    A saved configuration can ask for more than any memory holds, but a file cannot hold more weights than its size.

    Args:
        build: builds the method.
        why: the purpose, with which an error message begins.

    Raises:
        Refused: the file is missing or damaged, or the method needs more memory than these weights.
    """
    import torch

    _check_is_file(file, why)
    try:
        with safe_open(file, "pt") as header:
            shapes = {name: tuple(header.get_slice(name).get_shape()) for name in header.keys()}  # noqa: SIM118 not a dict
    except (SafetensorError, OSError) as error:
        raise Refused(f"{why}: {file} cannot be read ({_reason(error)})") from error
    with torch.device("meta"), _at_most(10 * len(shapes) + SPARE_PARTS, why), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tensors without values
        method = build()
    check_shapes(method, shapes, file, why)
    size = sum(value.nbytes for value in (*method.parameters(), *method.buffers()))
    if size > file.stat().st_size + SPARE_BYTES:
        raise Refused(f"{why}: its model needs {size:,} bytes, but {file} has {file.stat().st_size:,}")


@contextlib.contextmanager
def _at_most(parts: int, why: str) -> Iterator[None]:
    """Let torch build at most so many modules, weights and buffers while the context lasts.

    Raises:
        Refused: they are more, such as the layers of a network that is 10⁹ layers deep.
    """
    from torch.nn.modules import module

    count = 0

    def counted(*_: object) -> None:
        nonlocal count
        count += 1
        if count > parts:
            raise Refused(f"{why}: its model has more than {parts:,} parts, but its weights are fewer")

    hooks = [
        module.register_module_module_registration_hook(counted),
        module.register_module_parameter_registration_hook(counted),
        module.register_module_buffer_registration_hook(counted),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _reason(error: Exception) -> str:
    return str(error).removeprefix("Error while deserializing header: ")


def _check_is_file(file: Path, why: str) -> None:
    """Check that a file of weights is there, and is no pipe or folder.

    Raises:
        Refused: it is not.
    """
    if not file.is_file():
        raise Refused(f"{why}: {file} is missing or is not a file")
