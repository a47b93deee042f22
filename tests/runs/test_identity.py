"""What is in the identity of a run, and what is not."""

from __future__ import annotations

import copy
import json

import pytest
from conftest import ROOT, TINY
from omegaconf import OmegaConf

from genrun.config.compose import compose
from genrun.parts import read_facts, with_facts
from genrun.runs.identity import NEUTRAL, differing_options, digest, identity


def described(*overrides: str):
    cfg = compose([*TINY, *overrides])
    return with_facts(cfg, read_facts(cfg)[0])


def test_what_does_not_decide_the_result_is_not_in_the_identity():
    same = [
        "hardware=cpu",
        "logger=tensorboard",
        "paths.outputs=elsewhere",
        "callbacks=none",
        "evaluation=full",
        "data.workers=0",
        "data.memory_limit=1.0",
        "run.debug=true",
        "sample.n=7",
    ]
    assert identity(described(*same)) == identity(described())


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("seed=1", "seed"),
        ("model.pixels=9", "model.pixels"),
        ("trainer.max_epochs=3", "trainer.max_epochs"),
        ("data.batch_size=31", "data.batch_size"),
        ("data.classes=[0,1,2,3,4,5,6,7,8,9]", "data.classes"),
        ("hardware.precision=64-true", "precision"),
        ("+callbacks.training.ema._target_=a.b", "callbacks.ema"),
    ],
)
def test_what_decides_the_result_is(override, key):
    assert differing_options(described(override), described()) == [key]


def test_equal_groups_differ_in_the_seed_only():
    one, other = (digest({**identity(described(f"seed={seed}")), "seed": None}) for seed in (0, 1))
    assert one == other


def test_ids_are_pinned():
    """A change here makes every finished run of a user unfindable: raise RECIPE_VERSION only when training changed."""
    pinned = json.loads((ROOT / "tests/ids.json").read_text())
    assert {case: digest(identity(pinned_config(case))) for case in pinned} == pinned
    models = {file.stem for file in (ROOT / "conf/model").glob("*.yaml")}
    assert models <= {case.split()[0].removeprefix("model=") for case in pinned}, "pin the id of a new model"


def pinned_config(case: str):
    """The configuration of these overrides, with facts that do not depend on what is on this disk."""
    cfg = compose(case.split())
    cfg.data.facts = {
        "image_shape": [1, 28, 28],
        "num_classes": 10,
        "class_names": [],
        "train_size": 55000,
        "checksum": "0",
    }
    return cfg


def test_a_default_added_later_that_keeps_the_behaviour_does_not_change_an_id(monkeypatch):
    before = identity(described())
    later = described()
    OmegaConf.set_struct(later, False)
    later.model.new_option = None
    assert identity(later) != before
    monkeypatch.setitem(NEUTRAL, "model.new_option", None)
    assert identity(later) == before
    later.model.new_option = 3
    assert identity(later) != before


def test_differing_names_dotted_keys():
    from genrun.runs.identity import _differing

    one = {"a": {"b": 1, "c": [1, 2]}, "d": 3}
    other = copy.deepcopy(one)
    other["a"]["c"] = [1]
    other["e"] = None
    other["f"] = 1
    assert _differing(one, other) == ["a.c", "f"]


def test_a_run_is_the_same_on_any_device_and_on_any_number_of_them():
    def of(*overrides: str) -> dict:
        cfg = compose(["model=vae", *overrides])
        cfg.data.facts = {
            "checksum": "",
            "image_shape": [1, 8, 8],
            "num_classes": 10,
            "class_names": [],
            "train_size": 9,
        }
        return identity(cfg)

    assert of("hardware=cpu", "hardware.devices=2") == of("hardware=mps") == of("hardware=gpu_multi") == of()
    assert of("run.keep_checkpoints=none") == of()
    assert of("hardware.memory_format=channels_last") == of() | {"memory_format": "channels_last"}
