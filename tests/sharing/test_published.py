"""What is not given to others: places, names of runs and users, uncommitted code."""

from __future__ import annotations

import pytest

from genrun.sharing.published import (
    published_config,
    published_provenance,
    published_words,
    without_place,
    without_places,
)


@pytest.mark.parametrize(
    "place", ["/data/x", "~/x", "./x", "../x", "C:\\x", "\\\\server\\x", "file:///x"], ids=lambda one: one[:3]
)
def test_places_are_left_out_wherever_they_stand(place):
    left = []
    assert without_places({"a": [{"b": place}, "T-shirt/top"]}, left) == {"a": [{"b": None}, "T-shirt/top"]}
    assert left == ["a.0.b"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('failed (File "/home/me/x.py", line 3)', 'failed (File "…'),
        ("failed in C:\\Users\\me\\x.py", "failed in …"),
        ("failed at file:///home/me", "failed at …"),
        ("failed at ~/x", "failed at ~…"),
        ("1/2 of n / 2, [1]/2; see https://pytorch.org/docs", "1/2 of n / 2, [1]/2; see https://pytorch.org/docs"),
    ],
    ids=["Unix", "Windows", "address", "home", "none"],
)
def test_an_error_ends_before_a_path(text, shown):
    assert without_place(text) == shown


def test_options_that_name_a_place_or_a_run_lose_it():
    config = {
        "data": {"source": {"path": "faces", "root": "data", "sha256": {"a": "b"}}},
        "model": {"classifier": {"from_run": "old"}},
        "run": {"init_from": "x", "beside": ["y"], "name": "mine", "refit_of": None},
        "paths": {"data": "data"},
        "logger": {"wandb": {"entity": "me"}},
    }
    cleaned, left = published_config(config)
    assert cleaned == {
        "data": {"source": {"path": None, "root": None, "sha256": {"a": "b"}}},
        "model": {"classifier": {"from_run": None}},
        "run": {"init_from": None, "beside": [], "name": None, "refit_of": None},
        "paths": {},
        "logger": {},
        "sweep": {"name": None},
    }
    assert left == [
        "data.source.path",
        "data.source.root",
        "logger",
        "model.classifier.from_run",
        "paths",
        "run.beside",
        "run.init_from",
        "run.name",
    ]


def test_words_with_places_are_named_but_not_shown():
    words = [
        "model=vae",
        "model/sampler=ddim",
        "data.source.path=faces",
        "run.name=x",
        "+logger=wandb",
        "a.b=c/d",
        "seed=1",
    ]
    kept, left = published_words(words)
    assert kept == ["model=vae", "model/sampler=ddim", "seed=1"]
    assert left == ["data.source.path", "run.name", "+logger", "a.b"]


def test_the_provenance_keeps_what_decides_the_result():
    record = {
        "command": ["genrun", "--config-dir=/home/me"],
        "overrides": ["model=vae", "paths.data=/home/me"],
        "git": {"commit": "abc", "dirty": True, "patch": "uncommitted-1.patch"},
        "versions": {"torch": "2"},
        "machine": {"system": "Linux-6.1-mine-x86_64", "cores": 2},
        "device": "cpu",
        "checksum": "c",
        "seed": 3,
        "identity": {"init_from": "/home/me/run"},
        "parent": "alice",
        "resumed": [{"command": ["x"]}],
    }
    made = published_provenance(record, {"id": "1"}, ["paths"])
    assert made.pop("exported")
    assert made == {
        "id": "1",
        "overrides": ["model=vae"],
        "git": {"commit": "abc", "dirty": True},
        "machine": {"system": "Linux", "cores": 2},
        "versions": {"torch": "2"},
        "device": "cpu",
        "checksum": "c",
        "seed": 3,
        "identity": {"init_from": None},
        "resumed": [],
        "left_out": [
            "command",
            "machine.system (its version)",
            "overrides: paths.data",
            "git.patch (uncommitted code)",
            "parent",
            "resumed (what changed in 1 later attempts)",
            "identity.init_from",
            "config: paths",
        ],
    }
