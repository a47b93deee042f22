"""Arguments from YAML are checked, and what was expected is said in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from genrun.config.build import build, check_arguments
from genrun.data.images import Stored
from genrun.errors import Refused
from genrun.types import Facts

WORDS = [
    (int, "an integer"),
    (float | None, "a number or null"),
    (Sequence[float], "a list of numbers"),
    (Sequence[float] | float, "a list of numbers or a number"),
    (list[int] | None, "a list of integers or null"),
    (set[bool], "a list of true or false"),
    (tuple[int, ...], "a list of integers"),
    (tuple[float, float], "a list of 2 numbers"),
    (tuple[str, int], "a list of a text, an integer"),
    (Sequence[Sequence[int]], "a list of lists of integers"),
    (Sequence[tuple[float, float]], "a list of lists of 2 numbers"),
    (Mapping[str, Sequence[int]], "a mapping to lists of integers"),
    (dict[str, Mapping[str, Any]], "a mapping to mappings to values"),
    (Mapping, "a mapping"),
    (list, "a list"),
    (Literal["a", "b"], "'a', 'b'"),
    (Callable[..., int], "Callable"),
    (Facts, "Facts"),
    (float | Stored, "a number or Stored"),
]


@pytest.mark.parametrize(("hint", "words"), WORDS, ids=[words for _, words in WORDS])
def test_what_was_expected_is_said_in_words(hint, words):
    def target(value):
        raise AssertionError("only the arguments are checked")

    target.__annotations__["value"] = hint
    for wrong in ("wrong", 7, 0.5, [None, {}], None):
        try:
            check_arguments(target, {"value": wrong}, "model.part")
        except Refused as error:
            assert f"model.part.value: expected {words}, got {wrong!r}" in str(error)
            assert "collections" not in str(error) and "typing" not in str(error)
            return
    raise AssertionError(f"{hint} takes everything")


class Takes:
    def __init__(self, activation: Callable[..., Tensor] = torch.relu) -> None:
        self.activation = activation


def make_activation(slope: float):
    return lambda x: slope * x


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "hydra.utils.get_method", "path": "torch.nn.functional.relu"},
        {"_target_": f"{__name__}.make_activation", "slope": 2.0},
        {"_target_": "torch.nn.ReLU"},
        {"_target_": "torch.nn.functional.relu", "_partial_": True},
    ],
)
def test_a_function_may_be_made_in_any_way(node):
    made = build(OmegaConf.create({"_target_": f"{__name__}.Takes", "activation": node}), "part")
    assert made.activation(torch.ones(1)) >= 1


def test_a_class_whose_objects_cannot_be_called_is_no_function():
    node = {"_target_": f"{__name__}.Takes", "activation": {"_target_": "collections.Counter"}}
    with pytest.raises(Refused, match=r"part\.activation: expected"):
        build(OmegaConf.create(node), "part")
