"""What a saved configuration may build without `--trust`."""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.utils import get_object
from omegaconf import OmegaConf

from genrun.config.build import build
from genrun.config.compose import make_importable
from genrun.errors import Refused

# What a saved run may build when it is opened. Both the written name and the module of what it resolves to must lie here: the name alone
# would let `torch.nn.modules.torch.hub.load` through.
TRUSTED = ("genrun.methods.", "genrun.nn.", "genrun.maths.", "torch.nn.", "torch.optim.")
# What reads a saved run's data, by name: the modules hold more, which would be run.
TRUSTED_DATA = (
    "genrun.data.module.ImageData",
    "genrun.data.sources.digits",
    "genrun.data.sources.mnist",
    "genrun.data.sources.fashion_mnist",
    "genrun.data.sources.cifar10",
    "genrun.data.numbers.NumbersData",
    "genrun.data.numbers.mnist_numbers",
    "genrun.data.folders.celeba",
    "genrun.data.folders.image_folder",
    "genrun.data.arrays.npz",
)

TRUSTED_CLASSIFIER = ("genrun.evaluation.classifier.", "genrun.nn.", "torch.optim.")  # what sorts a saved run's images

# What a saved run may build when it is run again.
TRUSTED_RUN = {
    "model": TRUSTED,
    "data": TRUSTED_DATA,
    "trainer": ("pytorch_lightning.Trainer",),
    "callbacks": ("genrun.callbacks.", "pytorch_lightning.callbacks."),
    "evaluation": ("genrun.evaluation.judge.Judge", *TRUSTED_CLASSIFIER),
}


def build_trusted(node: Mapping[str, Any], path: str, *, trust: bool = False) -> Any:
    """Build what a saved run's configuration describes; every class must be genrun's or torch's own unless `trust`."""
    if not trust:
        check_trusted(node, path)
    return build(OmegaConf.create(dict(node)), path)


def check_trusted(node: Any, path: str, trusted: Sequence[str] = TRUSTED) -> None:
    """Check that a saved configuration builds nothing but trusted classes and functions.

    Args:
        path: of the node in the configuration.
        trusted: modules, with a dot at their end, whose classes may be built, and full names.

    Raises:
        Refused: it names another.
    """
    check_trusted_names(node, path, trusted)  # first: to import a module already runs its code
    for where, target in _targets(node, path):
        if target not in trusted:
            found = None
            with contextlib.suppress(ImportError, ValueError, TypeError):
                found = get_object(target)
            if not (inspect.isclass(found) and f"{found.__module__}.".startswith(_modules(trusted))):
                raise _untrusted(where, target, trusted)


def check_trusted_names(node: Any, path: str, trusted: Sequence[str] = TRUSTED) -> None:
    """Check the same by names alone, without importing anything: enough to refuse at once what `check_trusted` would refuse for its name.

    Raises:
        Refused: a name lies elsewhere, or a value is an interpolation: a saved configuration has none, and one would resolve to anything.
    """
    for where, text in _texts(node, path):
        if "${" in text:
            raise Refused(
                f"{where}={text}: expected a value without interpolation; if you trust this run, --trust builds it"
            )
    for where, target in _targets(node, path):
        if target not in trusted and not target.startswith(_modules(trusted)):
            raise _untrusted(where, target, trusted)


def allow_own_modules() -> None:
    """Let a run that the user trusts build classes from the current folder."""
    make_importable(os.getcwd())


def _untrusted(where: str, target: str, trusted: Sequence[str]) -> Refused:
    return Refused(
        f"{where}={target}: expected a class of {', '.join(name.rstrip('.') for name in trusted)}; "
        "if you trust this run, --trust builds it"
    )


def _modules(trusted: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in trusted if name.endswith("."))


def _texts(node: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield every string in nested dictionaries and lists, with its dotted path."""
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield from _texts(value, f"{path}.{key}")
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from _texts(value, f"{path}.{place}")


def _targets(node: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield every `_target_`, with its dotted path; one that is no string as its text."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield f"{path}._target_", str(node["_target_"])
        for key, value in node.items():
            yield from _targets(value, f"{path}.{key}")
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from _targets(value, f"{path}.{place}")
