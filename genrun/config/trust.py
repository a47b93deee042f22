"""Check which classes a saved configuration may build without `--trust`."""

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

# Modules whose classes a saved run may build when it is opened. Both the name in the configuration and the module of the class that it
# resolves to must be in this list: a check of the name alone would accept `torch.nn.modules.torch.hub.load`.
TRUSTED = ("genrun.methods.", "genrun.nn.", "genrun.maths.", "torch.nn.", "torch.optim.")
# Full names of classes and functions that read a saved run's data; other functions in their modules must not be called.
TRUSTED_DATA = (
    "genrun.data.module.ImageData",
    "genrun.data.augmentation.Augmentation",
    "genrun.data.sources.digits",
    "genrun.data.sources.mnist",
    "genrun.data.sources.fashion_mnist",
    "genrun.data.sources.cifar10",
    "genrun.data.sources.swiss_roll",
    "genrun.data.numbers.NumbersData",
    "genrun.data.numbers.mnist_numbers",
    "genrun.data.folders.celeba",
    "genrun.data.folders.celeba_anime",
    "genrun.data.folders.image_folder",
    "genrun.data.arrays.npz",
)

# Modules of the classifier that sorts a saved run's images.
TRUSTED_CLASSIFIER = ("genrun.evaluation.classifier.", "genrun.nn.", "torch.optim.")

# What each section of a saved configuration may build when the run is run again.
TRUSTED_RUN = {
    "model": TRUSTED,
    "data": TRUSTED_DATA,
    "trainer": ("pytorch_lightning.Trainer",),
    "callbacks": ("genrun.callbacks.", "pytorch_lightning.callbacks."),
    "evaluation": ("genrun.evaluation.judge.Judge", "genrun.evaluation.observer.ObserverRecipe", *TRUSTED_CLASSIFIER),
}


def build_trusted(node: Mapping[str, Any], path: str, *, trust: bool = False) -> Any:
    """Build the object that a node of a saved configuration describes.

    Args:
        path: the dotted path of the node in the configuration, for error messages.
        trust: whether classes from outside genrun and torch may be built.

    Raises:
        Refused: a class is not trusted, or an argument is wrong.
    """
    if not trust:
        check_trusted(node, path)
    return build(OmegaConf.create(dict(node)), path)


def check_trusted(node: Any, path: str, trusted: Sequence[str] = TRUSTED) -> None:
    """Check that a saved configuration builds only trusted classes and functions.

    Args:
        path: the dotted path of the node in the configuration, for error messages.
        trusted: modules whose classes may be built, each with a dot at the end, and full names of classes and functions.

    Raises:
        Refused: a class or function is not trusted, or a value is an interpolation.
    """
    check_trusted_names(node, path, trusted)  # first, because importing a module runs its code
    for where, target in _targets(node, path):
        if target not in trusted:
            found = None
            with contextlib.suppress(ImportError, ValueError, TypeError):
                found = get_object(target)
            if not (inspect.isclass(found) and f"{found.__module__}.".startswith(_modules(trusted))):
                raise _untrusted(where, target, trusted)


def check_trusted_names(node: Any, path: str, trusted: Sequence[str] = TRUSTED) -> None:
    """Check by their names alone that a saved configuration builds only trusted classes and functions.

    This imports nothing, so it is quick. `check_trusted` also checks the imported classes.

    Raises:
        Refused: a name is not trusted, or a value is an interpolation. A saved configuration has no interpolations, and an
            interpolation could resolve to anything.
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
    """Let Python import modules from the current folder, for a run that the user trusts."""
    make_importable(os.getcwd())


def _untrusted(where: str, target: str, trusted: Sequence[str]) -> Refused:
    """Return the error for a class or function that is not trusted."""
    return Refused(
        f"{where}={target}: expected a class of {', '.join(name.rstrip('.') for name in trusted)}; "
        "if you trust this run, --trust builds it"
    )


def _modules(trusted: Sequence[str]) -> tuple[str, ...]:
    """Return the entries of a list of trusted names that are modules."""
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
    """Yield every `_target_` as text, with its dotted path."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield f"{path}._target_", str(node["_target_"])
        for key, value in node.items():
            yield from _targets(value, f"{path}.{key}")
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from _targets(value, f"{path}.{place}")
