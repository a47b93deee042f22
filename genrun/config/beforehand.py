"""Check the classes of a configuration and their options before torch is imported, as far as their source says enough.

`config.build` checks everything when the classes are there. What is refused here is refused there too, seconds later.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Literal, Union

from genrun.config.build import check_option, find_target, no_such_option
from genrun.config.extras import extra_of, to_install
from genrun.config.signatures import arguments_of, names_of, source_of, takes_only
from genrun.errors import Refused, nearest

# words of `config.signatures` → annotation
TYPES: dict[str, Any] = {"int": int, "float": float, "bool": bool, "text": str, "null": type(None)}
# Lightning's loggers → modules, of which each needs one
LOGGERS: dict[str | None, tuple[str, ...]] = {
    "pytorch_lightning.loggers.TensorBoardLogger": ("tensorboard", "tensorboardX"),
    "pytorch_lightning.loggers.WandbLogger": ("wandb",),
    "pytorch_lightning.loggers.MLFlowLogger": ("mlflow",),
}
OTHERS = (*TYPES, "part", "list", "mapping")  # words that are no choices


def check_classes(node: Any, path: str) -> None:
    """Check every `_target_` in a part of the configuration: its package is there and has the class, which takes the options.

    Args:
        node: the part, of plain containers.
        path: its dotted path.

    Raises:
        Refused: a package, a module or a class is missing, or an option is unknown or of a wrong type.
    """
    if isinstance(node, list):
        for place, value in enumerate(node):
            check_classes(value, f"{path}.{place}")
    if not isinstance(node, Mapping):
        return
    for key, value in node.items():
        check_classes(value, f"{path}.{key}")
    if isinstance(target := node.get("_target_"), str):
        check_class(target, {key: value for key, value in node.items() if not key.startswith("_")}, path)


def check_class(target: str, options: Mapping[str, Any], path: str) -> None:
    """Check the class that a `_target_` names, and its options.

    Raises:
        Refused: see `check_classes`.
    """
    module, _, name = target.rpartition(".")
    top = target.partition(".")[0]
    if find_spec(top) is None or (top == "genrun" and source_of(module) is None):
        find_target(target, path)  # it says why it cannot be imported
    if (names := names_of(module)) and name not in names:
        raise Refused(f"{path}._target_={target}: cannot be imported ({module} has no {name}{nearest(name, names)})")
    whole, arguments = takes_only(target), arguments_of(target)
    for key, value in options.items():
        if whole and key not in whole:
            raise Refused(no_such_option(f"{path}.{key}", name, whole))
        known = not (value is None or (isinstance(value, str) and ("${" in value or value == "???")))
        if known and key in arguments and (hint := annotation(arguments[key].type)) is not None:
            check_option(f"{path}.{key}", value, hint)


def annotation(words: str) -> Any:
    """Return the annotation that words of `config.signatures` stand for, such as `int | null`; None: no simple one."""
    parts = words.replace("true | false", "bool").split(" | ")
    if set(parts) <= TYPES.keys():
        return Union[tuple(TYPES[part] for part in parts)]  # noqa: UP007 of a number that is not known here
    choices = [part for part in parts if part != "null"]
    if len(choices) > 1 and all(part.isidentifier() and part not in OTHERS for part in choices):
        return Union[Literal[tuple(choices)], type(None)] if "null" in parts else Literal[tuple(choices)]  # noqa: UP007
    return None


def check_loggers(loggers: Mapping[str, Any]) -> None:
    """Check that the packages of Lightning's loggers are there.

    Raises:
        Refused: the package of a logger is not installed.
    """
    for name, options in loggers.items():
        packages = LOGGERS.get((options or {}).get("_target_"), ())
        if packages and not any(map(find_spec, packages)):
            raise Refused(f"logger={name} needs {to_install(extra_of(packages[0]))} (there is no module {packages[0]})")
