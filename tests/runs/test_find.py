"""Runs are found by path, id, beginning of an id, last, best and conditions; what cannot be read is named."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys

import pytest
from helpers.runs import change_json, some_run, started
from omegaconf import OmegaConf

from genrun.errors import Refused
from genrun.runs.find import find_run, find_runs, matching
from genrun.runs.records import read_config, read_plain_config
from genrun.runs.summary import at_work, last_score, read_summary, runs_below
from genrun.verbs.arguments import outputs_folder


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Three finished runs, an interrupted one, one that was moved aside, and a broken folder."""
    outputs = tmp_path_factory.mktemp("outputs")
    started(some_run(outputs, "ca69aaaa", model="vae", frechet=2.0, seed=1), "2026-01-02T00:00:00+00:00")
    started(some_run(outputs, "ca69bbbb", model="vae", frechet=1.0), "2026-01-01T00:00:00+00:00")
    started(some_run(outputs, "0123abcd", model="gan", frechet=0.5, data="mnist"), "2026-01-03T00:00:00+00:00")
    half = started(some_run(outputs, "half", model="gan"), "2025-01-01T00:00:00+00:00")
    change_json(half, "status.json", lambda status: status.update(state="running"))
    (half.path / "results.json").unlink()
    some_run(outputs, "ca69.old-1", model="vae")
    broken = some_run(outputs, "broken", model="vae")
    (broken.path / "results.json").write_text("{")
    return outputs


def test_all_runs_are_read_the_newest_first_and_a_broken_one_is_named(outputs):
    runs, broken = runs_below(outputs)
    assert [run.name for run in runs] == ["0123abcd", "ca69aaaa", "ca69bbbb", "half"]
    assert len(broken) == 1 and "broken/results.json" in broken[0]
    assert [(run.model, run.data, run.state) for run in runs[-2:]] == [
        ("vae", "digits", "done"),
        ("gan", "digits", "interrupted"),
    ]
    assert runs[1].words == ["seed=1"] and runs[1].option("seed") == 1 and runs[1].option("model.code_size") == 4
    assert runs[1].value("Fréchet distance (observer)") == 2.0 and runs[1].option("no.such") is None
    assert runs_below(outputs / "nowhere") == ([], [])


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("last", "0123abcd"),
        ("ca69b", "ca69bbbb"),
        ("half", "half"),
        ("best:data=digits", "ca69bbbb"),
        ("best:model=vae,seed=1", "ca69aaaa"),
        ("best:model=gan,vae,data=digits", "ca69bbbb"),
    ],
)
def test_a_run_is_found(outputs, asked, found):
    assert find_run(asked, outputs).name == found


def test_a_path_is_a_path(outputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "last").mkdir()
    assert str(find_run("last", outputs)) == "last" and str(find_run("a/b", outputs)) == "a/b"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("ca69", r"ca69: 2 runs begin so: .*ca69aaaa, .*ca69bbbb; write more of the id"),
        ("0123abce", r"no run of this id or name in .* \(did you mean '0123abcd'\?\)"),
        ("best", r"best: distances on different data cannot be compared; write best:data=… \(digits, mnist\)"),
        ("best:model=rbm", "no finished run fulfils this"),
        ("best:state=finished", r"expected done, running, interrupted, failed, got finished"),
        ("best:modle=vae", r"no run has an option modle \(did you mean 'model'\?\)"),
        ("best:name=half", "no finished run fulfils this"),
    ],
)
def test_what_names_no_run_or_several_is_refused(outputs, asked, said):
    with pytest.raises(Refused, match=said):
        find_run(asked, outputs)


def test_without_runs_the_message_says_where_it_looked(tmp_path):
    with pytest.raises(Refused, match=r"last: there are no runs in .*nowhere; give a path, or paths\.outputs="):
        find_run("last", tmp_path / "nowhere")


def test_the_name_of_a_folder_goes_before_an_id(tmp_path):
    run = some_run(tmp_path, "ca69aaaa", model="vae")
    imported = some_run(tmp_path, "imported-ca69aaaa", model="vae")
    change_json(imported, "status.json", lambda status: status.update(id="ca69aaaa"))
    assert find_run("ca69aaaa", tmp_path) == run.path and find_run("imported", tmp_path) == imported.path


def test_a_run_of_a_later_format_is_refused(tmp_path):
    run = some_run(tmp_path, "a")
    change_json(run, "status.json", lambda status: status.update(format=99))
    with pytest.raises(Refused, match="format 99, this genrun reads up to 1: use a newer genrun"):
        read_summary(run.path)


def test_two_runs_of_one_name_need_a_path(tmp_path):
    some_run(tmp_path, "same", model="vae")
    some_run(tmp_path, "same", model="gan")
    with pytest.raises(Refused, match=r"2 runs have this name: .*; give its path"):
        find_run("same", tmp_path)


def test_conditions(outputs):
    runs, _ = runs_below(outputs)
    for conditions, names in [
        (["model=vae"], ["ca69aaaa", "ca69bbbb"]),
        (["model!=vae", "state=done"], ["0123abcd"]),
        (["seed=0,1", "model=vae"], ["ca69aaaa", "ca69bbbb"]),
        (["69b"], ["ca69bbbb"]),
        (["run.init_from=null", "data=mnist"], ["0123abcd"]),
    ]:
        assert [run.name for run in matching(runs, conditions)] == names, conditions


def test_many_runs_are_named_by_folders_patterns_ids_and_conditions(outputs):
    def names(*words):
        runs, broken = find_runs(words, outputs)
        return sorted(run.name for run in runs), len(broken)

    everything = ["0123abcd", "ca69aaaa", "ca69bbbb", "half"]
    assert names() == (everything, 1) and names(str(outputs)) == (everything, 1)
    assert names(str(outputs / "vae-digits")) == (["ca69aaaa", "ca69bbbb"], 1)
    assert names(f"{outputs}/*-mnist/*", "ca69b", "ca69bbbb") == (
        ["0123abcd", "ca69bbbb"],
        0,
    )  # named twice, there once
    assert names("model=vae", "seed=1") == (["ca69aaaa"], 1)
    with pytest.raises(Refused, match="expected a run folder, or a folder with runs"):
        names(str(outputs / "vae-digits" / "ca69aaaa" / "samples"))


def test_a_run_that_was_moved_aside_is_not_found_by_a_pattern_but_by_its_path(outputs):
    runs, _ = find_runs([f"{outputs}/vae-digits/ca69*"], outputs)
    assert sorted(run.name for run in runs) == ["ca69aaaa", "ca69bbbb"]
    ((run,), _) = find_runs([f"{outputs}/vae-digits/ca69.old-1"], outputs)
    assert run.name == "ca69.old-1"


def test_no_number_is_no_best_run(tmp_path):
    some_run(tmp_path, "a", frechet=float("nan"))
    some_run(tmp_path, "b", frechet=2.0)
    change_json(some_run(tmp_path, "c", frechet=1.0), "status.json", lambda status: status.update(state="failed"))
    assert find_run("best", tmp_path).name == "b"
    assert read_summary(find_run("a", tmp_path)).value("Fréchet distance (observer)") is None


def test_runs_of_an_earlier_judge_have_a_best_one_but_not_among_others(tmp_path):
    some_run(tmp_path, "a", earlier_frechet=0.5)
    some_run(tmp_path, "b", earlier_frechet=0.3)
    assert find_run("best", tmp_path).name == "b"
    some_run(tmp_path, "c", frechet=0.1, seed=1)
    assert find_run("best:seed=0", tmp_path).name == "b" and find_run("best:seed=1", tmp_path).name == "c"
    with pytest.raises(
        Refused, match=r"2 of 3 runs were judged by an earlier version.*again, such as: genrun evaluate "
    ):
        find_run("best", tmp_path)
    some_run(tmp_path, "d", earlier_frechet=0.1, data="mnist")
    with pytest.raises(Refused, match="different data"):
        find_run("best", tmp_path)


def test_a_run_at_work_is_one_whose_folder_is_locked(tmp_path):
    run = some_run(tmp_path, "a")
    change_json(run, "status.json", lambda status: status.update(state="running"))
    assert not at_work(run.path) and read_summary(run.path).state == "interrupted"
    descriptor = os.open(run.path / ".lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        assert at_work(run.path) and read_summary(run.path).state == "running"
    finally:
        os.close(descriptor)
    assert not at_work(run.path)


def test_the_score_is_that_of_the_last_weights_and_of_the_last_phase():
    assert last_score([{"epoch": 1, "val/score": 3.0}, {"epoch": 2, "val/score": 4.0}, {"epoch": 3}]) == 4.0
    assert last_score([{"val/classifier/score": 1.0}, {"val/decoder/score": 2.0, "train/decoder/loss": 9.0}]) == 2.0
    assert last_score([{"epoch": 1, "train/loss": 1.0}]) is None


def test_the_quick_reader_of_a_configuration_reads_the_same_and_no_bomb(tmp_path):
    run = some_run(tmp_path, "a")
    assert read_plain_config(run.path) == OmegaConf.to_container(read_config(run.path))
    file = run.path / "config.yaml"
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "\n".join(
        f"{chr(98 + k)}: &{chr(98 + k)} [{', '.join(['*' + chr(97 + k)] * 9)}]" for k in range(9)
    )
    for text in (bomb, "model: !!python/object/apply:os.system [true]", "[" * 5000, "model: {name: 3}", "\xff"):
        file.write_text(text, encoding="latin-1")
        with pytest.raises(Refused, match=r"config\.yaml cannot be read as the configuration of a run"):
            read_plain_config(run.path)


def test_words_of_a_verb_say_where_the_runs_are():
    assert [str(part) for part in outputs_folder(["a", "paths.outputs=b/c"])] == ["['a']", "b/c"]
    from genrun.config.compose import compose

    assert str(outputs_folder([])[1]) == compose([]).paths.outputs


def test_finding_runs_needs_no_torch(outputs):
    """Neither do the verbs that only read: they answer while one types."""
    program = (
        "import sys\nfrom genrun import cli\n"
        f"sys.argv = ['genrun', *sys.argv[1].split(), 'paths.outputs={outputs}']\n"
        "try:\n    cli.main()\nexcept SystemExit as leave:\n    print(leave.code, 'torch' in sys.modules)"
    )
    for words in ("list", "show last", "compare model=vae"):
        shown = subprocess.run([sys.executable, "-c", program, words], capture_output=True, text=True)
        assert shown.stdout.splitlines()[-1] == "0 False", (words, shown)


def test_the_record_of_a_stranger_is_checked(tmp_path):
    run = some_run(tmp_path, "a")
    for file, content in (("provenance.json", {"overrides": [3]}), ("results.json", {"rows": 3}), ("status.json", [])):
        before = (run.path / file).read_text()
        (run.path / file).write_text(json.dumps(content))
        with pytest.raises(Refused, match=file):
            read_summary(run.path)
        (run.path / file).write_text(before)
