"""Classes by name and by number."""

from __future__ import annotations

import unicodedata

import pytest
from data_files import refusal

from genrun.data.labels import numbered, numbers_of

ANIMALS = ("bird", "cat", "dog")


@pytest.mark.parametrize(
    ("words", "names", "expected"),
    [
        (["cat", "dog"], ANIMALS, [1, 2]),
        (["cat", 2, "0", " dog "], ANIMALS, [1, 2, 0, 2]),
        ([1, "2"], ("1", "2", "3"), [0, 1]),  # a name comes first
        ([0], ("1", "2", "3"), [0]),
        ([2, 10], ("0", "1", "2", "10"), [2, 3]),
        ([7, "07", 13], tuple(f"{n:02d}" for n in range(100)), [7, 7, 13]),
        ([unicodedata.normalize("NFD", "Café")], (unicodedata.normalize("NFC", "Café"),), [0]),
        ([unicodedata.normalize("NFC", "Café")], (unicodedata.normalize("NFD", "Café"),), [0]),
    ],
)
def test_names_come_before_numbers(words, names, expected):
    assert numbers_of(words, names, "--labels") == expected


@pytest.mark.parametrize("word", [3, "3", -1, "-1", "", "Cat", "1.0", "²", True, None])
def test_what_is_no_class_is_refused(word):
    line = refusal(numbers_of, [word], ANIMALS, "--labels")
    assert line.startswith(f"--labels: there is no class {word!r}") and line.endswith("0 bird, 1 cat, 2 dog")


def test_a_misspelt_name_is_answered_with_the_nearest():
    assert "no class 'dgo' (did you mean 'dog'?)" in refusal(numbers_of, ["dgo"], ANIMALS, "data.classes")


def test_many_classes_are_cut_short():
    assert numbered(tuple("0123456789")) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert numbered(tuple(f"c{n}" for n in range(100))) == "0 c0, 1 c1, 2 c2, 97 more; the last is 99 c99"
