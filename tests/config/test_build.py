"""Arguments from YAML are checked, and what was expected is said in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import pytest

from genrun.config.build import check_arguments
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
