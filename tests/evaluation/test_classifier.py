"""The reference classifier: its own for each data and recipe, and the same each time."""

from __future__ import annotations

import torch
from helpers.judge import by_name, make_judge, some_samples
from rich.console import Console

from genrun.config.compose import compose
from genrun.parts import build_data, build_judge, read_facts, with_facts


def test_a_classifier_that_knows_nothing_says_so(shapes):
    judge = make_judge(
        shapes, "evaluation=quick", "evaluation.classifier.steps=8", "evaluation.classifier.optimizer.lr=1e-9"
    )
    rows = judge.judge(torch.from_numpy(some_samples(shapes, 300)["images"])[:, None])
    assert "near chance: rows of the classifier say nothing" in rows[0].note


def test_another_choice_of_data_or_recipe_has_its_own_classifier(shapes):
    hashes = {
        make_judge(shapes, "evaluation=quick", *change).classifier.hash
        for change in ([], ["data.limit=600"], ["data.classes=[0,1]"], ["evaluation.classifier.steps=20"])
    }
    assert len(hashes) == 4


def test_the_classifier_repeats_bit_for_bit_and_leaves_the_global_stream_alone(shapes, tmp_path):
    hashes = set()
    for number in range(2):
        torch.manual_seed(number)
        before = torch.get_rng_state()
        judge = make_judge(shapes, "evaluation=quick", f"paths.cache={tmp_path / str(number)}")
        hashes.add(judge.classifier.hash)
        assert torch.equal(torch.get_rng_state(), before)
    assert len(hashes) == 1


def test_the_neutral_classifier_is_built_and_trained_from_its_yaml(shapes):
    judge = make_judge(shapes, "evaluation=quick", "evaluation.epoch_samples=0")
    neutral = compose(
        [
            "data=npz",
            "evaluation=quick",
            "evaluation/classifier=resnet56",
            "evaluation.classifier.steps=8",
            "evaluation.observer.steps=8",
            "evaluation.classifier.batch_size=16",
            f"data.source.path={shapes}",
        ]
    )
    other = build_judge(neutral_facts(neutral), build_data(neutral), Console(quiet=True))
    assert other.classifier.num_features == 64 and other.classifier.hash != judge.classifier.hash
    assert "inception score" in by_name(other.judge(torch.from_numpy(some_samples(shapes, 100)["images"])[:, None]))


def neutral_facts(cfg):
    return with_facts(cfg, read_facts(cfg)[0])
