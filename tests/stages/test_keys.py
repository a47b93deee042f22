"""The keys of the stages: what is done again when what was asked changes."""

from __future__ import annotations

from conftest import TINY
from omegaconf import OmegaConf

from genrun.config.compose import compose
from genrun.parts import read_facts, with_facts
from genrun.runs.folder import TABLE, RunFolder
from genrun.stages.keys import evaluate_key, older_table, stage_keys
from genrun.system.files import write_json


def described(*overrides: str):
    cfg = compose([*TINY, *overrides])
    return with_facts(cfg, read_facts(cfg)[0])


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


def test_options_added_later_leave_the_key_of_a_table_without_them(tmp_path):
    cfg = described("evaluation=quick", f"paths.outputs={tmp_path}")
    folder = RunFolder.of(cfg)
    key = evaluate_key("sampled", cfg, folder)
    earlier = cfg.copy()
    OmegaConf.set_struct(earlier, False)
    for option in ("linear_probe", "combinations", "blends", "mixed_training"):
        del earlier.evaluation[option]
    assert evaluate_key("sampled", earlier, folder) == key
    for option, value in (("linear_probe", 5), ("combinations", 5), ("blends", 5), ("mixed_training", [1])):
        more = cfg.copy()
        more.evaluation[option] = value
        assert evaluate_key("sampled", more, folder) != key


def test_figures_can_be_made_later_and_then_stay(tiny):
    folder = tiny("trainer.max_epochs=1")
    assert not list(folder.figures.glob("*.png")) and folder.status()["stages"]["figures"]["outputs"] == []
    tiny("trainer.max_epochs=1", "run.figures=true")
    made = folder.status()["stages"]["figures"]
    assert made["outputs"] and all((folder.path / name).is_file() for name in made["outputs"])
    tiny("trainer.max_epochs=1")
    tiny("trainer.max_epochs=1", "run.figures=true")
    assert folder.status()["stages"]["figures"] == made


def test_a_table_of_an_earlier_judge_stays_and_the_run_says_so(tiny, capsys):
    folder = tiny("run.name=earlier", "trainer.max_epochs=1")
    status, results = folder.status(), folder.results()
    assert older_table(folder) == "" and results["table"] == TABLE
    cfg = described("run.name=earlier", "trainer.max_epochs=1")
    status["stages"]["evaluate"]["key"] = evaluate_key(status["stages"]["sample"]["key"], cfg, folder, version=2)
    del results["table"]
    assert older_table(folder) == ""
    results["rows"].append({"name": "Fréchet distance (classifier)", "value": 1.0, "note": ""})
    write_json(folder.path / "status.json", status)
    write_json(folder.path / "results.json", results)
    kept = (folder.path / "results.json").read_bytes()
    capsys.readouterr()
    again = tiny("run.name=earlier", "trainer.max_epochs=1")
    assert (again.path / "results.json").read_bytes() == kept and len(again.status()["attempts"]) == 1
    assert "of an earlier judge (version 2, now 3)" in older_table(again)
    more = tiny("run.name=earlier", "trainer.max_epochs=1", "evaluation.kernel_size=999")
    assert more.results()["table"] == TABLE  # what was asked for anew is judged by the new judge


def test_the_key_of_an_earlier_table_is_that_of_the_options_it_knew(tmp_path):
    cfg = described("evaluation=quick", f"paths.outputs={tmp_path}")
    folder = RunFolder.of(cfg)
    earlier = cfg.copy()
    OmegaConf.set_struct(earlier, False)
    for option in ("observer", "robust", "plain_words"):
        del earlier.evaluation[option]
    assert evaluate_key("sampled", cfg, folder, version=2) == evaluate_key("sampled", earlier, folder, version=2)
    assert evaluate_key("sampled", cfg, folder) != evaluate_key("sampled", earlier, folder)
    cfg.evaluation.robust = True  # the earlier table does not have what is asked for
    assert evaluate_key("sampled", cfg, folder, version=2) != evaluate_key("sampled", earlier, folder, version=2)
