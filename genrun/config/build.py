"""Build objects from a configuration. Every argument is first checked against the signature of the class that takes it."""

from __future__ import annotations

import enum
import importlib
import inspect
import logging
import os
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from genrun.config.container import plain
from genrun.config.extras import extra_of, to_install
from genrun.errors import GenrunError, Refused, nearest, one_line

logging.getLogger("hydra").addHandler(
    logging.NullHandler()
)  # else Hydra prints the error that genrun prints in one line

_WORDS = {  # annotation → one value of it, many
    int: ("an integer", "integers"),
    float: ("a number", "numbers"),
    bool: ("true or false", "true or false"),
    str: ("a text", "texts"),
    types.NoneType: ("null", "null"),
    typing.Any: ("a value", "values"),
}
# Hydra's own keys of a node, and what they may be
_RESERVED: dict[str, Any] = {
    "_target_": str,
    "_partial_": bool,
    "_args_": list,
    "_recursive_": bool,
    "_convert_": Literal["none", "partial", "object", "all"],
}


def build(node: DictConfig, path: str, **extra: Any) -> Any:
    """Build the object that a node of the configuration describes by its `_target_`.

    Args:
        path: the dotted path of the node in the configuration, for error messages.
        extra: more arguments of the class.

    Raises:
        Refused: the node names no class, the class cannot be imported or refuses the arguments, or an argument is unknown, missing or
            of the wrong type.
        ModuleNotFoundError: the class needs a package that is not installed.
    """
    try:
        return construct(node, path, **extra)
    except (GenrunError, ModuleNotFoundError):
        raise
    except Exception as error:
        raise Refused(refusal(path, error)) from error


def construct(node: DictConfig, path: str, **extra: Any) -> Any:
    """Build an object as `build` does, but raise the error of the class itself if it refuses the arguments."""
    if not OmegaConf.is_dict(node) or "_target_" not in node:
        raise Refused(f"{path}: expected the options of a class, which {path}._target_ names, got {plain(node)!r}")
    try:
        arguments = OmegaConf.to_container(node, resolve=True)
    except OmegaConfBaseException as error:
        raise Refused(f"{path}: {str(error).splitlines()[0]}") from None
    _check_node(arguments, path, extra)
    try:
        return instantiate(arguments, **extra)
    except InstantiationException as error:
        while isinstance(error, InstantiationException) and error.__cause__ is not None:
            error = error.__cause__
        raise error from None


def refusal(path: str, error: BaseException) -> str:
    """Return the line that says why a class refused its arguments.

    Args:
        path: the dotted path of the arguments in the configuration. It is left out if the message of the error begins with an option.
    """
    words = one_line(error)
    return words if re.match(rf"{re.escape(path.partition('.')[0])}\.\w", words) else f"{path}: {words}"


def _check_node(node: Any, path: str, extra: Mapping[str, Any]) -> None:
    """Check the arguments of every node that has a `_target_`: this node and the nodes nested in it."""
    if isinstance(node, list):
        for place, value in enumerate(node):
            _check_node(value, f"{path}.{place}", {})
    if isinstance(node, Mapping):
        for key, value in node.items():
            _check_node(value, f"{path}.{key}", {})
        if "_target_" in node:
            for key in _RESERVED.keys() & node.keys():
                if not _fits(node[key], _RESERVED[key]):
                    raise Refused(f"{path}.{key}: expected {_describe(_RESERVED[key])}, got {node[key]!r}")
            arguments = {key: value for key, value in node.items() if key not in _RESERVED}
            check_arguments(
                find_target(str(node["_target_"]), path), arguments, path, extra, partial=bool(node.get("_partial_"))
            )


def signature_of(target: Callable[..., Any]) -> tuple[dict[str, inspect.Parameter], dict[str, Any]]:
    """Return the parameters that a class or function takes, and their annotations.

    A class that takes `*positional` and `**options` passes them on to the next class of its bases, so the parameters of that class
    are included, and so on.
    """
    try:
        parameters = dict(inspect.signature(target).parameters)
    except ValueError:  # a class that is written in C and does not say what it takes
        return {"options": inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD)}, {}
    if not inspect.isclass(target):
        return parameters, _annotations(target)
    initialisers = [vars(one)["__init__"] for one in target.__mro__ if "__init__" in vars(one) and one is not object]
    hints = _annotations(target.__init__ if "__init__" in vars(target) else target)
    variable = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    for initialiser in initialisers[1:]:
        if not variable <= {one.kind for one in parameters.values()}:
            break
        own = {name: one for name, one in parameters.items() if one.kind not in variable}
        inherited = dict(list(inspect.signature(initialiser).parameters.items())[1:])  # without self
        parameters, hints = inherited | own, _annotations(initialiser) | hints
    return parameters, hints


def _annotations(target: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(target)
    except (NameError, TypeError):  # annotations that exist for type checkers only
        return {}


def arguments_of(target: str, path: str) -> set[str]:
    """Return the names of the arguments of the class that a `_target_` names.

    Args:
        path: the dotted path of the node in the configuration, for error messages.

    Raises:
        Refused: the class cannot be imported.
    """
    return set(signature_of(find_target(target, path))[0])


def find_target(target: str, path: str) -> Callable[..., Any]:
    """Import the class or function that a `_target_` names.

    Args:
        path: the dotted path of the node in the configuration, for error messages.

    Raises:
        Refused: the class or function cannot be imported.
    """
    try:
        found = get_object(target)
    except Exception as error:
        module, _, name = target.rpartition(".")
        try:
            reason = f"{module} has no {name}{nearest(name, dir(importlib.import_module(module)))}"
        except Exception as missing:
            extra = extra_of(getattr(missing, "name", None) or "")
            reason = f"{missing}; it needs {to_install(extra)}" if extra else str(missing)
        raise Refused(f"{path}._target_={target}: cannot be imported ({reason})") from error
    if not callable(found):
        raise Refused(f"{path}._target_={target}: expected a class or a function, got a {type(found).__name__}")
    return found


def check_arguments(
    target: Callable[..., Any],
    arguments: Mapping[str, Any],
    path: str,
    extra: Mapping[str, Any] | None = None,
    *,
    partial: bool = False,
) -> None:
    """Check the names and types of arguments against the signature and annotations of a class or function.

    Args:
        path: the dotted path of the arguments in the configuration, for error messages.
        extra: arguments that are passed in addition; they are not checked.
        partial: whether required arguments may be missing.

    Raises:
        Refused: an argument is wrong; the message gives its dotted key, what was expected and what was given.
    """
    parameters, hints = signature_of(target)
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for key, value in arguments.items():
        if key not in parameters and not takes_any:
            raise Refused(no_such_option(f"{path}.{key}", _name(target), parameters))
        left_out = value is None and key in parameters and parameters[key].default is None
        if not left_out:
            check_option(f"{path}.{key}", value, hints.get(key, Any))
        if other := _of_another_class(value, hints.get(key), f"{path}.{key}"):
            kind = f"a {hints[key].__name__}" if inspect.isclass(hints[key]) else _describe(hints[key])
            raise Refused(f"{path}.{key}: expected {kind}, got {other}")
    if not partial:
        for key, parameter in parameters.items():
            required = parameter.default is parameter.empty and parameter.kind in (
                parameter.POSITIONAL_OR_KEYWORD,
                parameter.KEYWORD_ONLY,
            )
            if required and key not in arguments and key not in (extra or {}):
                raise Refused(f"{path}.{key}: {_name(target)} needs this option; give {path}.{key}=…")


def no_such_option(option: str, name: str, known: Iterable[str]) -> str:
    """Return the message for an option that a class does not take.

    Args:
        name: the name of the class.
        known: the options that it takes.
    """
    return f"{option}: {name} takes no such option{nearest(option.rpartition('.')[2], known)}"


def check_option(option: str, value: Any, hint: Any) -> None:
    """Check the type of an option's value.

    Args:
        option: the dotted key.
        hint: the annotation.

    Raises:
        Refused: the value is of another type.
    """
    if _fits(value, hint):
        return
    advice = ""
    if isinstance(value, str) and _is_part(hint):
        advice = f"; a part is chosen by {option.replace('.', '/')}=…"
    if not isinstance(value, Mapping) and _fits("", hint):
        advice = f"; a text that looks like something else is quoted: \"{option}='…'\""
    raise Refused(f"{option}: expected {_describe(hint)}, got {value!r}{advice}")


def _of_another_class(value: Any, hint: Any, path: str) -> str | None:
    """Return what a node builds, if it is not what the annotation asks for; otherwise None.

    If the annotation is a class, this is the class or a subclass of it; if it is a function that makes something, the node is partial.
    """
    if not (isinstance(value, Mapping) and "_target_" in value):
        return None
    made = find_target(str(value["_target_"]), path)
    partial = bool(value.get("_partial_"))
    if (typing.get_origin(hint) or hint) is Callable:
        ready = not partial and makes_no_function(made)
        return f"what {_name(made)} returns; {path}._partial_=true leaves the call to the class" if ready else None
    if not inspect.isclass(hint):
        return None
    if partial:
        return f"a function that makes one; leave {path}._partial_ out"
    try:
        return made.__name__ if inspect.isclass(made) and not issubclass(made, hint) else None
    except TypeError:  # a Protocol that cannot be asked
        return None


def makes_no_function(made: Callable[..., Any]) -> bool:
    """Return whether the objects of a class, or what a function is annotated to return, cannot be called."""
    try:
        kind = made if inspect.isclass(made) else typing.get_type_hints(made).get("return")
    except (TypeError, NameError):  # it has no annotations that can be read
        return False
    return inspect.isclass(kind) and not any("__call__" in vars(one) for one in kind.__mro__)


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value from YAML fits an annotation; a value is accepted if this cannot be decided."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, argument) for argument in arguments)
    if origin is Literal:
        return any(value == argument and type(value) is type(argument) for argument in arguments)
    if hint is None or hint is types.NoneType:
        return value is None
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint in (bool, str):
        return isinstance(value, hint)
    if isinstance(value, Mapping) and "_target_" in value:
        return True
    if _is_part(hint):
        return value is not None and not isinstance(value, str | int | float | list | Mapping)
    kind = origin or hint
    if not inspect.isclass(kind) or kind in (Any, object):
        return True
    if issubclass(kind, list | tuple | set) or (kind.__module__ == "collections.abc" and issubclass(kind, Sequence)):
        if not isinstance(value, list | tuple):
            return False
        if kind is tuple and arguments and arguments[-1] is not ...:
            return len(value) == len(arguments) and all(map(_fits, value, arguments))
        return all(_fits(item, arguments[0]) for item in value) if arguments else True
    if issubclass(kind, Mapping):
        return isinstance(value, Mapping) and (not arguments or all(_fits(one, arguments[1]) for one in value.values()))
    if issubclass(kind, os.PathLike | enum.Enum) and isinstance(value, str):
        return True
    try:
        return isinstance(value, kind)
    except TypeError:  # a Protocol that cannot be asked
        return True


def _is_part(hint: Any) -> bool:
    """Return whether an annotation is a class of genrun or a callable, which YAML describes by a `_target_`."""
    kind = typing.get_origin(hint) or hint
    return kind is Callable or (inspect.isclass(kind) and kind.__module__.startswith("genrun."))


def _describe(hint: Any, *, many: bool = False) -> str:
    """Return an annotation in words, for error messages: a value of it, or `many`."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    kind = origin or hint
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_describe(argument, many=many) for argument in arguments)
    if origin is typing.Literal:
        return ", ".join(map(repr, arguments))
    if hint in _WORDS:
        return _WORDS[hint][many]
    if inspect.isclass(kind) and issubclass(kind, Mapping):
        return ("mappings" if many else "a mapping") + (
            f" to {_describe(arguments[1], many=True)}" if arguments else ""
        )
    if inspect.isclass(kind) and issubclass(kind, tuple) and arguments and ... not in arguments:
        same = len(set(arguments)) == 1
        each = (
            f"{len(arguments)} {_describe(arguments[0], many=True)}" if same else ", ".join(map(_describe, arguments))
        )
        return f"{'lists' if many else 'a list'} of {each}"
    # a tensor is no list
    if inspect.isclass(kind) and issubclass(kind, Iterable) and kind.__module__ in ("builtins", "collections.abc"):
        return ("lists" if many else "a list") + (f" of {_describe(arguments[0], many=True)}" if arguments else "")
    return getattr(kind, "__name__", str(hint))


def _name(target: Callable[..., Any]) -> str:
    return getattr(target, "__name__", str(target))
