"""Distances in plain words: an equally spoilt set of real images is said to be about that spoilt."""

from __future__ import annotations

import pytest
from helpers.judge import by_name, make_judge

from genrun.evaluation.ladders import Batch, ladders
from genrun.evaluation.rows.equivalents import disagreement, equivalents, in_words
from genrun.evaluation.rows.row import Row
from genrun.inference import seeded


def test_real_images_in_fog_are_said_to_be_in_about_that_fog(shapes):
    judge = make_judge(shapes)
    real, space = judge.real, judge.observer
    kept_back = real.images("validation").decoded()
    batch = Batch(kept_back.array, kept_back.labels)
    fog = next(one for one in ladders(batch.images, 0) if one.name == "fog, even")
    step = next(step for step in fog.steps if step.mark == "plain")
    rows = judge.comparison.rows(real, space, space(step.spoil(batch, seeded(0)).images))
    row = by_name(rows)["Fréchet distance (observer)"]
    amount, further = equivalents(row, real, space)["fog, even"]
    assert amount == pytest.approx(step.amount, rel=0.5) and not further
    said = by_name(in_words(rows, real, [space]))
    assert said[row.name].note.startswith("as far as real images blurred by ")
    assert f"or in fog of {amount:.2g}" in said[row.name].note
    assert all(row.note == "" for name, row in said.items() if name != "Fréchet distance (observer)")
    undamaged = equivalents(row._replace(value=row.floor), real, space)
    assert {amount for amount, _ in undamaged.values()} == {0.0}
    (_, further) = equivalents(row._replace(value=1e9), real, space)["blur"]
    assert further


def test_a_distance_without_a_floor_has_no_equivalent(shapes):
    judge = make_judge(shapes)
    assert equivalents(Row("Fréchet distance (random)", None), judge.real, judge.random_space) == {}


def test_witnesses_that_differ_by_more_than_a_factor_of_three_are_said_to_disagree():
    near = {"blur": (0.5, False), "fog, even": (0.05, False)}
    assert disagreement({"observer": near, "random": {"blur": (0.2, False), "fog, even": (0.02, False)}}) == ""
    said = disagreement({"observer": near, "random": {"blur": (0.1, False), "fog, even": (0.02, False)}})
    assert (
        said
        == "the witnesses disagree: in the observer features the samples are as blurred by 0.5 pixel, in the random features as "
        "blurred by 0.1 pixel"
    )
    assert disagreement({"observer": near}) == disagreement({}) == ""
    unseen = {"blur": (0.3, False), "fog, even": (0.02, False)}
    beyond = {"blur": (1.5, True), "fog, even": (0.05, False)}
    assert disagreement({"observer": beyond, "random": {"blur": (0.005, False)}}).endswith(
        "as blurred by more than 1.5 pixel, in the random features as blurred by less than 0.01 pixel"
    )
    none = {"blur": (0.0, False), "fog, even": (0.0, False)}
    assert disagreement({"observer": none, "random": none}) == ""
    assert disagreement({"observer": unseen, "random": none}) == ""
