"""Identity, files and the folder of a run."""

from __future__ import annotations

import copy
import json
import os

import numpy as np
import pytest
import torch
from conftest import TINY
from omegaconf import OmegaConf
from safetensors.torch import load_file

from genrun.config.compose import compose
from genrun.parts import read_facts, with_facts
from genrun.runs import folder as runs
from genrun.runs.folder import RunFolder
from genrun.runs.identity import differing_options, digest, identity
from genrun.stages.keys import stage_keys
from genrun.system.files import write_atomic


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
    pinned = json.loads((runs.Path(__file__).parent / "ids.json").read_text())
    assert {" ".join(case): digest(identity(pinned_config(case))) for case in PINNED} == pinned


PINNED = (("model=csgm", "data=digits"), ("model=csgm", "data=mnist"), ("model=csgm_paper", "data=mnist", "seed=1"))


def pinned_config(case):
    """The configuration with facts that do not depend on what is on this disk."""
    cfg = compose(list(case))
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
    monkeypatch.setitem(runs.NEUTRAL, "model.new_option", None)
    assert identity(later) == before
    later.model.new_option = 3
    assert identity(later) != before


def keys_of(*overrides):
    cfg = described(*overrides)
    return stage_keys(cfg, RunFolder.of(cfg))


def test_stage_keys_change_with_their_own_inputs_only():
    base = keys_of()
    more = keys_of("sample.n=31")
    assert {name for name in base if base[name] != more[name]} == {"sample", "figures", "evaluate"}
    judged = keys_of("evaluation=full")
    assert {name for name in base if base[name] != judged[name]} == {
        "evaluate",
        "figures",
    }  # with a classifier, which sorts


def test_asking_for_more_judges_again_without_training(tiny):
    first = tiny()
    weights = first.weights.stat().st_mtime_ns, first.last.stat().st_mtime_ns
    again = tiny("evaluation.kernel_size=999")
    assert again.path == first.path
    assert (again.weights.stat().st_mtime_ns, again.last.stat().st_mtime_ns) == weights
    assert len(again.status()["attempts"]) == 2


# -------------------------------------------------------------------------------------------------------------- files


def test_a_write_is_whole_or_not_there(tmp_path, monkeypatch):
    target = tmp_path / "file.json"
    write_atomic(target, "before")

    def broken(_: int) -> None:
        raise OSError("no space")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="no space"):
        write_atomic(target, "after")
    assert target.read_text() == "before" and list(tmp_path.iterdir()) == [target]


def test_a_lock_is_held_for_its_life_and_a_forked_child_lets_go(tmp_path):
    folder = RunFolder(tmp_path / "run")
    (ready, say_ready), (go_on, tell) = os.pipe(), os.pipe()
    with folder.lock():
        child = os.fork()
        if child == 0:  # lives on until told; must not hold the lock
            os.close(tell)
            os.write(say_ready, b"!")
            os.read(go_on, 1)
            os._exit(0)
        os.read(ready, 1)
    with folder.lock():  # the child is alive
        assert f"process {os.getpid()}" in (folder.path / ".lock").read_text()
    os.close(tell)
    os.waitpid(child, 0)


def test_a_finished_run_leaves_the_whole_folder(tiny):
    folder = tiny("trainer.max_epochs=3")
    there = {str(path.relative_to(folder.path)) for path in folder.path.rglob("*") if path.is_file()}
    assert there >= {
        *("config.yaml", "overrides.yaml", "provenance.json", "status.json", "log.txt", "metrics.csv"),
        *("checkpoints/last.ckpt", "checkpoints/best.ckpt", "model.safetensors", "results.json", "results.md"),
        *(f"samples/epoch_000{epoch}.png" for epoch in (1, 2, 3)),
        *("samples/final.png", "samples.npz", "figures/timelapse.gif", "figures/curves.png", "figures/first_last.png"),
        *("figures/resolution.png", "figures/zoom.gif", "figures/codes.png"),
    }
    assert not [name for name in there if name.endswith(".tmp")]
    samples = np.load(folder.path / "samples.npz")
    assert samples["images"].dtype == np.uint8 and samples["images"].shape == (30, 8, 8, 1)
    assert samples["labels"].dtype == np.int64 and np.bincount(samples["labels"]).tolist() == [3] * 10
    rows = folder.metrics()
    assert [row["epoch"] for row in rows] == [1, 2, 3] and [row["step"] for row in rows] == [7, 14, 21]
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    best = torch.load(folder.best, weights_only=True)
    assert best["epoch"] == min(range(3), key=lambda k: rows[k]["val/score"])
    last = torch.load(folder.last, weights_only=True)
    for name, value in load_file(folder.weights).items():
        if not name.startswith("prior."):  # fitted afterwards
            assert torch.equal(value, last["state_dict"][name]), name
    provenance = json.loads((folder.path / "provenance.json").read_text())
    assert provenance["seed"] == 0 and provenance["machine"]["threads"] == torch.get_num_threads()
    assert provenance["versions"]["torch"] == torch.__version__.partition("+")[0]
    status = folder.status()
    assert list(status["stages"]) == ["fit", "refit", "sample", "figures", "evaluate"] and status["state"] == "done"
    assert OmegaConf.load(folder.path / "config.yaml").data.facts.train_size == 200


def test_the_watchers_do_not_move_the_result(tiny, tmp_path):
    from conftest import outcome

    watched, alone = tiny(), tiny("callbacks=none", outputs=tmp_path / "alone")
    assert outcome(watched) == outcome(alone)
    assert len(list(watched.samples.glob("epoch_*.png"))) == 2 and not list(alone.samples.glob("epoch_*.png"))


def test_seeds_give_different_runs_and_the_same_seed_the_same(tiny, tmp_path):
    from conftest import outcome

    one, two, again = outcome(tiny()), outcome(tiny("seed=1")), outcome(tiny(outputs=tmp_path / "again"))
    assert (
        one == again
        and one["model.safetensors"] != two["model.safetensors"]
        and one["samples.npz"] != two["samples.npz"]
    )


def test_tensorboard_is_written_beside(tiny):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = tiny("logger=tensorboard")
    events = EventAccumulator(str(folder.path / "tensorboard"))
    events.Reload()
    logged = [event.value for event in events.Scalars("train/g")]
    assert logged == pytest.approx([row["train/g"] for row in folder.metrics()])


def test_differing_names_dotted_keys():
    from genrun.runs.identity import _differing

    one = {"a": {"b": 1, "c": [1, 2]}, "d": 3}
    other = copy.deepcopy(one)
    other["a"]["c"] = [1]
    other["e"] = None
    other["f"] = 1
    assert _differing(one, other) == ["a.c", "f"]
