"""Training sets of originals and generations: their sizes, and what good and bad generations do."""

from __future__ import annotations

import pytest
import torch
from helpers.judge import make_judge, some_samples

from genrun.data.images import Stored
from genrun.errors import Refused
from genrun.evaluation.rows.mixed_training import mixed_training
from genrun.evaluation.rows.recognition import training_rows


@pytest.fixture(scope="module")
def judge(shapes):
    return make_judge(shapes, "evaluation=quick", "evaluation.train_on_generated=60")


@pytest.fixture
def samples(shapes):
    arrays = some_samples(shapes, 300, "train")
    return Stored(array=torch.from_numpy(arrays["images"])[:, None], labels=torch.from_numpy(arrays["labels"]))


def test_the_sets_keep_their_size_up_to_one_and_grow_beyond(judge, samples):
    shares = [2, 0, 0.25, 1, 1.5]
    (row,), table = mixed_training(judge.real, judge.recipe, samples, shares, 60, judge.device)
    assert [line["share"] for line in table] == sorted(shares)
    sizes = [(line["originals"], line["generations"]) for line in table]
    assert sizes == [(0, 300), (75, 225), (300, 0), (300, 150), (300, 300)]
    assert min(line["accuracy"] for line in table) > 0.7
    assert row.value == table[-1]["accuracy"] and row.floor == table[2]["accuracy"] and row.count == 600


def test_originals_alone_are_the_floor_of_training_on_samples_and_are_trained_once(judge, samples):
    _, (line,) = mixed_training(judge.real, judge.recipe, samples, [1], 60, judge.device)
    known = training_rows(judge.real, judge.recipe, samples, 60, judge.device)[0].floor
    assert line["accuracy"] == known


def test_wrong_labels_spoil_the_set_by_their_share(judge, samples):
    wrong = Stored(array=samples.array, labels=(samples.labels + 1) % 3)
    _, (none, half, _) = mixed_training(judge.real, judge.recipe, wrong, [0, 0.5, 1], 60, judge.device)
    assert none["accuracy"] < 0.2 and none["accuracy"] < half["accuracy"]


def test_every_classifier_takes_as_many_steps(judge, samples, monkeypatch):
    few, seen = Stored(array=samples.array[:100], labels=samples.labels[:100]), []
    train = type(judge.recipe).train

    def watched(self, images, facts, what, console, device, steps=None):
        seen.append(max(8, min(steps, self.epochs * max(1, len(images) // self.batch_size))))
        return train(self, images, facts, what, console, device, 8)

    monkeypatch.setattr(type(judge.recipe), "train", watched)
    mixed_training(judge.real, judge.recipe, few, [0, 1.9], 500, judge.device)
    assert seen == [100, 100]  # a hundred passes over one batch


def test_samples_without_labels_have_a_row_that_says_so(judge):
    (row,), table = mixed_training(judge.real, judge.recipe, None, [0, 1], 60, judge.device)
    assert row.value is None and row.note == "the samples have no labels" and table == []
    assert mixed_training(judge.real, judge.recipe, None, [], 60, judge.device) == ([], [])


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["evaluation.mixed_training=[0,2.1]"], r"expected shares from 0 to 2, got 2.1"),
        (["evaluation.mixed_training=[a]"], r"mixed_training: expected a list of numbers or null, got \['a'\]"),
        (
            ["evaluation.mixed_training=[1]", "evaluation.train_on_generated=0"],
            r"evaluation.train_on_generated above 0",
        ),
        (["evaluation.linear_probe=-1"], r"evaluation.linear_probe: expected at least 0, got -1"),
    ],
)
def test_wrong_options_are_refused(shapes, overrides, line):
    with pytest.raises(Refused, match=line):
        make_judge(shapes, *overrides)
