"""What a request asks for is read exactly, or refused in one line that names it."""

from __future__ import annotations

import pytest

from genrun.errors import Refused
from genrun.explore.asked import Asked


def test_values_and_defaults():
    asked = Asked({"seed": "7", "d1": "-1.5", "way": "spherical", "class": ""})
    assert (asked.seed(), asked.real("d1", 0, 3), asked.choice("way", ("straight", "spherical"))) == (
        7,
        -1.5,
        "spherical",
    )
    assert (asked.whole("class", 4, 0, 9), asked.real("d2", 0, 3), asked.choice("start", ("mean", "random"))) == (
        4,
        0,
        "mean",
    )


@pytest.mark.parametrize("text", ["-1", "10", "1.5", "²", "١", "9" * 5000, "0x1", "1_0", "<b>"])
def test_a_whole_number_is_one_in_its_range(text):
    with pytest.raises(Refused, match=r"^class: expected a whole number from 0 to 9, got '.{1,40}'$"):
        Asked({"class": text}).whole("class", 0, 0, 9)


@pytest.mark.parametrize("text", ["nan", "inf", "3.01", "-3.01", "one"])
def test_a_number_is_finite_and_in_its_range(text):
    with pytest.raises(Refused, match=r"^d1: expected a number from -3 to 3, got"):
        Asked({"d1": text}).real("d1", 0, 3)


def test_a_choice_is_one_of_them():
    with pytest.raises(
        Refused, match=r"way: expected one of straight, spherical, got 'sphericl'.*did you mean 'spherical'"
    ):
        Asked({"way": "sphericl"}).choice("way", ("straight", "spherical"))
