"""The options of a training phase: what stands in a YAML under `model.phases.<name>`, checked."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from genrun.errors import nearest
from genrun.maths.learning_rates import LearningRateSchedule


@dataclasses.dataclass(frozen=True)
class PhaseOptions:
    """The options of a phase.

    Args:
        max_epochs: its budget.
        lr: the learning rate, at its start or at its height.
        schedule: how it changes over the phase.
        drop, drop_every: the learning rate is multiplied by `drop` after every so many epochs.
    """

    max_epochs: int
    lr: float
    schedule: LearningRateSchedule = "constant"
    drop: float = 1.0
    drop_every: int = 1


Options = typing.TypeVar("Options", bound=PhaseOptions)


def read_options(kind: type[Options], name: str, given: Mapping[str, Any]) -> Options:
    """Read the options of a phase.

    Args:
        kind: the class of the options; its fields are whole numbers (at least 1), numbers (at least 0), choices or lists of whole numbers.
        name: the name of the phase.
        given: the options in the YAML.

    Raises:
        ValueError: an option is unknown, missing, or out of its range.
    """
    hints = typing.get_type_hints(kind)
    for option, value in given.items():
        if option not in hints:
            raise ValueError(f"model.phases.{name}.{option}: no such option{nearest(option, list(hints))}")
        if (expected := what_is_wrong(value, hints[option])) is not None:
            raise ValueError(f"model.phases.{name}.{option}: expected {expected}, got {value!r}")
    for field in dataclasses.fields(kind):
        if field.default is dataclasses.MISSING and field.name not in given:
            raise ValueError(f"model.phases.{name}.{field.name}: expected a value, got none")
    read = kind(**given)
    if read.drop != 1 and read.schedule != "constant":
        raise ValueError(f"model.phases.{name}: drop and schedule={read.schedule} exclude each other")
    return read


def what_is_wrong(value: Any, hint: Any) -> str | None:
    """Return what a value should be instead; None if it is right."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return None if number and isinstance(value, int) and value >= 1 else "a whole number of at least 1"
    if hint is float:
        return None if number and 0 <= value < math.inf else "a number of at least 0"
    if typing.get_origin(hint) is typing.Literal:
        choices = typing.get_args(hint)
        return None if value in choices else f"one of {', '.join(choices)}"
    if value is None:
        return None
    whole = isinstance(value, Sequence) and not isinstance(value, str) and all(type(one) is int for one in value)
    return None if whole and len(value) else "a list of whole numbers, or null"
