"""Blends of images with their reconstructions, at both ends and between."""

from __future__ import annotations

import pytest
import torch
from helpers.combining import Averages
from helpers.judge import make_judge

from genrun.evaluation.rows.blends import blends
from genrun.evaluation.rows.recognition import logits_of


class Grey(Averages):
    """Reconstructs every image as even grey."""

    def reconstruct(self, images, labels=None):
        return torch.full_like(images, 0.5)


def test_blends_go_from_the_images_to_their_reconstructions(shapes):
    judge = make_judge(shapes, "evaluation=quick")
    real, classifier, space = judge.real, judge.classifier, judge.headline
    method = Grey(torch.zeros(3, 1, 8, 8), torch.arange(3))
    table = blends(method, real, classifier, space, 300, 128)
    assert [line["alpha"] for line in table] == pytest.approx([step / 10 for step in range(11)])
    assert {line["count"] for line in table} == {300}
    known = logits_of(classifier, real.features(classifier, "train")[:300]).argmax(1) == real.labels("train")[:300]
    assert table[0]["accuracy"] == known.double().mean().item() > 0.9
    assert table[0]["Fréchet distance"] == pytest.approx(0, abs=1e-4)
    distances = [line["Fréchet distance"] for line in table]
    assert distances == sorted(distances) and distances[-1] > 1
    assert table[-1]["accuracy"] < 0.5  # all images are equal


def test_few_images_have_no_distance_and_a_method_that_does_not_reconstruct_has_no_table(shapes):
    judge = make_judge(shapes, "evaluation=quick")
    method = Averages(torch.zeros(3, 1, 8, 8), torch.arange(3))
    assert {
        line["Fréchet distance"] for line in blends(method, judge.real, judge.classifier, judge.headline, 50, 50)
    } == {None}
    assert blends(object(), judge.real, judge.classifier, judge.headline, 50, 50) == []
    assert blends(method, judge.real, judge.classifier, judge.headline, 0, 50) == []
