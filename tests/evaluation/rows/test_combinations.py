"""Combinations of codes: the settings that are drawn, the tries that are counted, and what a failure leaves."""

from __future__ import annotations

import pytest
import torch
from helpers.combining import Averages
from helpers.judge import by_name, make_judge

from genrun.errors import Failed
from genrun.evaluation.rows.combinations import METRICS, OWN, TO_TEST, combination_lines, combinations
from genrun.evaluation.rows.images import as_pixels, distance_of


@pytest.fixture(scope="module")
def judged(shapes):
    judge = make_judge(shapes, "evaluation=quick")
    train = judge.real.images("train", 600)
    method = Averages(train.images(torch.arange(600)), train.labels)
    return judge, method, *combinations(method, judge.real, judge.classifier, judge.headline, 150, 300, 100, 0)


def test_three_draws_of_each_setting_and_one_unchecked(judged):
    _, method, _, lines = judged
    of_a_draw = [(100, 50)]
    expected = [
        (sources, spread, True, n)
        for spread in ("averaged", "kept")
        for sources in (2, 3, 5)
        if (sources, spread) != (5, "kept")
        for draw in range(3)
        for part in of_a_draw
        for n in part
    ]
    expected += [(5, "kept", True, 100), *[(2, "averaged", False, n) for n in (100, 50)]]
    assert method.asked == expected
    assert [line.get("draws") for line in lines] == [None, None, 3, 3, 3, 3, 3, None, 1]


def test_tries_are_counted_by_class_and_on_the_whole(judged):
    *_, rows, lines = judged
    line = lines[2]
    assert line["latent tries by class"] == [100, 50, 50] and line["tries by class"] == [100, 150, 200]
    assert line["latent check passes"] == 150 / 200 and line["tries a generation"] == 450 / 150
    assert line["latent check passes, deviation"] == line["tries a generation, deviation"] == 0
    assert lines[-1]["latent check passes"] is lines[-1]["tries a generation"] is None
    named = by_name(rows)
    assert named["combinations of 2, averaged: tries a generation"].value == 3
    assert named["combinations of 2, averaged: latent check passes"].value == 0.75


def test_distances_and_accuracies_are_those_of_the_draws_and_differ_between_them(judged):
    judge, method, rows, lines = judged
    real, space = judge.real, judge.headline
    named = by_name(rows)
    row = named["combinations of 2, averaged: Fréchet distance to test (observer)"]
    assert row.count == 150 and row.spread > 0 and row.protocol == "3 × 150"
    test, train = (real.features(space, split) for split in ("test", "train"))
    assert row.floor == distance_of(train[:150], test)
    unchecked = named["combinations of 2, averaged, unchecked: Fréchet distance to test (observer)"]
    assert unchecked.spread is None and unchecked.value == pytest.approx(row.value, rel=0.5)
    assert named["combinations of 5, averaged: Fréchet distance to test (observer)"].value > row.value  # less varied
    accuracy = named["combinations of 2, averaged: label accuracy"]
    assert accuracy.value > 0.9 and accuracy.floor > 0.9
    rebuilt = as_pixels(method.reconstruct(real.images("test", 300).images(torch.arange(300))))
    expected = distance_of(space(rebuilt), test)
    assert named["reconstruction: Fréchet distance to test (observer)"].value == pytest.approx(expected)
    assert lines[1]["count"] == 300 and lines[1][TO_TEST] == pytest.approx(expected)
    assert len(rows) == 16 and len(named) == 16


def test_a_setting_that_fails_says_why_and_the_others_go_on(judged):
    *_, rows, lines = judged
    failed = lines[-2]
    assert {failed[metric] for metric in METRICS} == {None}
    assert failed["note"] == "class a: no combination passes the checks"
    row = by_name(rows)["combinations of 5, kept: Fréchet distance to test (observer)"]
    assert row.value is None and row.note == failed["note"]


def test_a_method_that_can_combine_nothing_has_one_row_for_it(judged):
    judge, method, *_ = judged

    class Never(Averages):
        def combine(self, labels, **options):
            raise Failed("needs another prior")

    rows, lines = combinations(
        Never(method.images, method.labels), judge.real, judge.classifier, judge.headline, 30, 0, 100, 0
    )
    assert [(row.name, row.value, row.note) for row in rows] == [("combinations of codes", None, "needs another prior")]
    assert len(lines) == 8


class Reads(Averages):
    """Also classifies: it is wrong about class 0."""

    def classify(self, images):
        distances = torch.cdist(
            images.flatten(1), torch.stack([self.images[self.labels == k].mean(0) for k in range(3)]).flatten(1)
        )
        return -distances - 100 * torch.eye(3)[0]


def test_a_methods_own_classifier_judges_real_images_reconstructions_and_draws(judged):
    judge, method, *_ = judged
    rows, lines = combinations(
        Reads(method.images, method.labels), judge.real, judge.classifier, judge.headline, 150, 300, 100, 0
    )
    assert [line[OWN] for line in lines[2:] if line[OWN] is not None] == [2 / 3] * 6
    for line, images in zip(lines, (judge.real.images("test"), judge.real.images("test", 300)), strict=False):
        assert 0.5 < line[OWN] <= (images.labels != 0).double().mean().item()
    named = {name: row for name, row in by_name(rows).items() if OWN in name}
    assert set(named) == {f"combinations of 2, averaged{checked}: {OWN}" for checked in ("", ", unchecked")}
    assert all(row.value == 2 / 3 and row.floor == lines[0][OWN] for row in named.values())
    headings, text = combination_lines(lines)
    assert headings[4] == OWN and text[2][4] == "0.667 ± 0"


@pytest.mark.parametrize("missing", [["latent_tries"], ["latent_tries", "tries"]])
def test_a_check_that_the_method_does_not_make_has_no_numbers(judged, missing):
    judge, method, *_ = judged

    class Unchecked(Averages):
        def combine(self, labels, **options):
            return super().combine(labels, **options)._replace(**dict.fromkeys(missing))

    rows, lines = combinations(
        Unchecked(method.images, method.labels), judge.real, judge.classifier, judge.headline, 30, 0, 10, 0
    )
    line, named = lines[1], by_name(rows)
    assert line["latent check passes"] is None and "latent tries by class" not in line
    assert "combinations of 2, averaged: latent check passes" not in named
    if "tries" in missing:
        assert line["tries a generation"] is None and "tries by class" not in line
        assert "combinations of 2, averaged: tries a generation" not in named
    else:
        assert line["tries a generation"] == named["combinations of 2, averaged: tries a generation"].value == 3
        assert line["tries by class"] == [20, 30, 40]


def test_equal_seeds_give_equal_tables(judged):
    judge, method, rows, _ = judged
    again = combinations(method, judge.real, judge.classifier, judge.headline, 150, 300, 100, 0)[0]
    other = combinations(method, judge.real, judge.classifier, judge.headline, 150, 300, 100, 1)[0]
    assert again == rows and other != rows


def test_the_table_as_text(judged):
    headings, lines = combination_lines(judged[-1])
    assert len({len(headings), *map(len, lines)}) == 1
    assert lines[0][0] == "real images" and lines[1][0] == "reconstructions"
    assert lines[2][:3] == ["combinations", "2", "averaged"] and "±" in lines[2][3] and lines[2][-2] == "3 ± 0"


def test_only_a_method_that_combines_has_a_table(judged):
    judge, method, *_ = judged
    asked = len(method.asked)
    assert combinations(method, judge.real, judge.classifier, judge.headline, 0, 300, 100, 0) == ([], [])
    assert combinations(object(), judge.real, judge.classifier, judge.headline, 150, 300, 100, 0) == ([], [])
    assert len(method.asked) == asked


def test_few_images_have_no_distance(judged):
    judge, method, *_ = judged
    rows = by_name(combinations(method, judge.real, judge.classifier, judge.headline, 30, 0, 100, 0)[0])
    row = rows["combinations of 2, averaged: Fréchet distance to test (observer)"]
    assert row.value is None and row.note == "too few images for a covariance"
    assert rows["combinations of 2, averaged: label accuracy"].value > 0.9
    assert "reconstruction: Fréchet distance to test (observer)" not in rows
