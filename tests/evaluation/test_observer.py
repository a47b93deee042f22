"""The observer: its training leaves the global stream alone, and its features see what a person sees."""

from __future__ import annotations

import pytest
import torch
from helpers.judge import make_judge
from torch.nn import functional as F

from genrun.errors import Refused
from genrun.evaluation.augmentation import augment_invisibly
from genrun.evaluation.ladders import even_fog
from genrun.evaluation.metrics.frechet import frechet_distance, moments
from genrun.evaluation.observer import turns_of
from genrun.inference import seeded
from genrun.types import Facts


def test_it_is_trained_once_and_read_from_the_cache_afterwards(shapes, tmp_path, monkeypatch):
    state = torch.get_rng_state()
    first = make_judge(shapes, "evaluation=quick", f"paths.cache={tmp_path}").observer
    assert torch.equal(torch.get_rng_state(), state)
    again = make_judge(shapes, "evaluation=quick", f"paths.cache={tmp_path}")
    monkeypatch.setattr(type(again.observing), "train", lambda *_: pytest.fail("it was trained again"))
    assert again.observer.hash == first.hash and first.num_features == 128
    other = make_judge(shapes, "evaluation=quick", "evaluation.observer.network.width=4", f"paths.cache={tmp_path}")
    with pytest.raises(pytest.fail.Exception):
        other.observer  # noqa: B018


def test_fog_that_a_person_sees_is_far_and_fog_that_nobody_sees_is_near(shapes):
    judge = make_judge(shapes, "evaluation=quick")
    images = judge.real.images("validation").decoded().array
    test = moments(judge.real.features(judge.observer, "test"))

    def distance(fog: float) -> float:
        spoilt = even_fog(images / 255, fog, seeded(0)).clamp(0, 1).mul(255).round().to(torch.uint8)
        return frechet_distance(moments(judge.observer(spoilt)), test)

    floor, faint, plain = distance(0), distance(0.008), distance(0.2)
    assert faint < 2 * floor and plain > 5 * floor


def test_invisible_changes_are_small_and_of_every_image_another():
    images = F.interpolate(torch.rand(512, 3, 4, 4, generator=seeded(0)), size=(32, 32), mode="bilinear")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        changed = (augment_invisibly(images) - images).abs()
        again = augment_invisibly(images[:1].expand(64, -1, -1, -1))
    assert changed.median() < 0.03 and 0 < (changed.amax((1, 2, 3)) == 0).float().mean() < 0.2
    assert len(torch.unique(again, dim=0)) > 50


def test_images_that_are_not_square_are_turned_upside_down_only():
    def facts(*shape: int) -> Facts:
        return Facts(image_shape=shape, num_classes=0, class_names=(), train_size=1, checksum="")

    assert turns_of(facts(1, 8, 8)) == [0, 1, 2, 3] and turns_of(facts(1, 8, 16)) == [0, 2]


def test_a_wrong_option_is_named(shapes):
    with pytest.raises(Refused, match=r"evaluation.observer.steps: expected at least 8, got 3"):
        make_judge(shapes, "evaluation=quick", "evaluation.observer.steps=3")
    narrow = ("evaluation.observer.network.width=2", "+evaluation.observer.network.num_features=16")
    with pytest.raises(Refused, match=r"expected at least 64 channels in all layers, got 34; make it wider"):
        make_judge(shapes, "evaluation=quick", *narrow)
    with pytest.raises(Refused, match=r"expected a network with `body`, a sequence of layers, got ResNet"):
        make_judge(
            shapes,
            "evaluation=quick",
            "evaluation.observer.network._target_=genrun.nn.resnet.ResNet",
            "~evaluation.observer.network.width",
        )
