"""`genrun list`, `show`, `compare`, `rm`, `prune`: what they print, write and delete, and what they refuse."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import sys

import pytest
from helpers.runs import change_json, some_run, started
from PIL import Image

from genrun.errors import Refused
from genrun.runs.folder import RunFolder
from genrun.verbs import compare, prune, rm, show
from genrun.verbs import list as list_


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    """Two runs of a VAE, one of a GAN, and a broken folder, below the current folder's `outputs`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    outputs = tmp_path / "outputs"
    for seed in (0, 1):
        started(
            some_run(outputs, f"v{seed}", model="vae", frechet=1.0 + seed, seed=seed),
            f"2026-01-0{seed + 1}T00:00:00+00:00",
        )
    started(some_run(outputs, "g0", model="gan", frechet=5.0), "2026-01-03T00:00:00+00:00")
    (some_run(outputs, "broken").path / "status.json").write_text("{")
    return outputs


@contextlib.contextmanager
def locked(folder):
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


# ---------------------------------------------------------------------------------------------------------------- list


def test_the_list_has_a_line_for_each_run(outputs, capsys):
    assert list_.main([]) == 0
    said = capsys.readouterr()
    head, *lines = said.out.splitlines()
    assert head.split() == ["run", "model", "data", "state", "age", "Fréchet", "coverage", "authenticity", "command"]
    assert [line.split()[:4] for line in lines] == [
        [name, model, "digits", "done"] for name, model in (("g0", "gan"), ("v1", "vae"), ("v0", "vae"))
    ]
    assert lines[1].split()[-1] == "seed=1" and "left out: " in said.err and "broken/status.json" in said.err
    list_.main(["model=vae", "-n", "1"])
    assert "v1 " in (out := capsys.readouterr().out) and "v0 " not in out and "… and 1 more" in out
    list_.main(["--json", "v0"])
    (run,) = json.loads(capsys.readouterr().out)
    assert run["id"] == "v0" and run["metrics"]["Fréchet distance (observer)"] == 1.0 and run["seed"] == 0


def test_without_runs_the_list_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert list_.main([]) == 0
    said = capsys.readouterr()
    assert said.out == "no runs in outputs\n" and "there is no folder outputs yet" in said.err
    assert list_.main(["--json"]) == 0 and json.loads(capsys.readouterr().out) == []
    with pytest.raises(Refused, match="-n: expected at least 1, got 0"):
        list_.main(["-n", "0"])


@pytest.mark.parametrize(
    ("began", "age"),
    [
        ("2026-01-01T11:59:58+00:00", "2 s"),
        ("2026-01-01T11:00:00+00:00", "1 h"),
        ("2025-12-31T11:00:00+00:00", "1 d"),
        ("", "–"),
        ("soon", "–"),
        ("2027-01-01T00:00:00+00:00", "0 s"),
    ],
)
def test_ages(began, age):
    from datetime import UTC, datetime

    assert list_.age(began, datetime(2026, 1, 1, 12, tzinfo=UTC)) == age


# ---------------------------------------------------------------------------------------------------------------- show


def test_show_tells_state_command_and_table(outputs, capsys):
    assert show.main(["v1"]) == 0
    out = capsys.readouterr().out
    assert "vae on digits, v1: done, epoch 2\ngenrun model=vae data=digits seed=1 run.name=v1\n" in out
    assert "Fréchet" in out and f"run folder  {outputs.relative_to(outputs.parent)}/vae-digits/v1" in out
    assert show.main([]) == 0 and "gan on digits, g0" in capsys.readouterr().out  # the latest
    assert show.main(["v0", "--json"]) == 0 and json.loads(capsys.readouterr().out)["id"] == "v0"
    with pytest.raises(Refused, match="expected one run, got 2"):
        show.main(["v0", "v1"])
    with pytest.raises(Refused, match=r"expected a run folder \(with config\.yaml\), found none there"):
        show.main([str(outputs)])


def test_show_says_why_a_run_stopped(outputs, capsys):
    run = some_run(outputs, "n0", model="gan")
    change_json(run, "status.json", lambda status: status.update(state="failed", error="loss is NaN \x1b[31m"))
    (run.path / "results.json").unlink()
    show.main(["n0"])
    assert r"n0: failed, epoch 2: loss is NaN \x1b[31m" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "value", "begins"),
    [("TERM_PROGRAM", "WezTerm", "\033]1337;"), ("KITTY_WINDOW_ID", "1", "\033_Ga=T,f=100,"), ("X", "1", "")],
)
def test_a_terminal_that_can_shows_the_grid(tmp_path, monkeypatch, capsys, name, value, begins):
    for other in ("TERM_PROGRAM", "KITTY_WINDOW_ID"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    Image.effect_noise((200, 200), 50).save(tmp_path / "a.png")
    show.show_picture(tmp_path / "a.png", tmp_path)
    out = capsys.readouterr().out
    assert out.startswith(begins) and bool(out) == bool(begins)
    (tmp_path / "link.png").symlink_to("/etc/hostname")
    (tmp_path / "text.png").write_text("a text")
    for name in ("link.png", "text.png", "nowhere.png"):
        show.show_picture(tmp_path / name, tmp_path)
    assert capsys.readouterr().out == ""


# ------------------------------------------------------------------------------------------------------------- compare


def test_compare_prints_or_writes_the_leaderboard(outputs, tmp_path, capsys):
    assert compare.main(["--sort", "Fréchet"]) == 0
    said = capsys.readouterr()
    assert [line.split()[0] for line in said.out.splitlines() if line[:1].strip()][:4] == [
        "model",
        "real",
        "vae",
        "gan",
    ]
    assert "1.50 ± 0.71*" in said.out and "broken" in said.err
    names = [f"{tmp_path}/b{ending}" for ending in (".md", ".csv", ".tex", ".json", ".png")]
    assert compare.main([word for name in names for word in ("--out", name)]) == 0
    assert capsys.readouterr().out.split() == names and Image.open(names[-1]).width > 400
    assert compare.main(["model=vae", "--runs", "--json"]) == 0
    assert [line["settings"]["run"] for line in json.loads(capsys.readouterr().out)["lines"]] == ["v0", "v1"]
    with pytest.raises(Refused, match=r"expected a name that ends in \.md or \.csv"):
        compare.main(["--out", "a.html"])


def test_compare_leaves_out_what_is_not_finished_and_says_so(outputs, capsys):
    change_json(some_run(outputs, "half", model="gan"), "status.json", lambda status: status.update(state="failed"))
    assert compare.main(["v0", "half"]) == 0
    assert "left out: outputs/gan-digits/half (failed)" in capsys.readouterr().err
    with pytest.raises(
        Refused, match=r"no finished run with a table of metrics among half \(outputs/gan-digits/half \(failed\)\)"
    ):
        compare.main(["half"])
    with pytest.raises(Refused, match="no finished run with a table of metrics in nowhere"):
        compare.main(["paths.outputs=nowhere"])


def test_names_of_columns_may_have_commas():
    assert compare.column_names("Fréchet,training, s,reconstruction, SSIM") == [
        "Fréchet",
        "training, s",
        "reconstruction, SSIM",
    ]


def test_nothing_is_drawn_without_a_distance(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    some_run(tmp_path / "outputs", "a")
    with pytest.raises(Refused, match="nothing to draw"):
        compare.main(["--out", "a.png"])


# ------------------------------------------------------------------------------------------------------- rm and prune


def test_rm_deletes_whole_runs_and_asks_first(outputs, capsys, monkeypatch):
    with pytest.raises(Refused, match="there is no terminal to ask on; --yes"):
        rm.main(["v0"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: "n" if "these runs" in question else "y")
    assert rm.main(["v0"]) == 0 and "nothing was deleted" in capsys.readouterr().out
    assert (outputs / "vae-digits/v0").is_dir()
    assert rm.main(["v0", "outputs/autoencoder-digits/broken", "v0", "--yes"]) == 0  # a broken one, and one named twice
    out = capsys.readouterr().out
    assert "freed" in out and out.count("vae-digits/v0") == 1
    assert sorted(path.name for path in outputs.glob("*/*")) == ["g0", "v1"]


def test_rm_never_deletes_a_run_at_work_a_link_or_another_folder(outputs, tmp_path):
    run = outputs / "vae-digits" / "v0"
    with locked(run), pytest.raises(Refused, match=r"v0 is at work; stop it first"):
        rm.main([str(run), "-y"])
    (outputs / "vae-digits" / "link").symlink_to(run)
    for wrong, said in (
        ("outputs/vae-digits/link", "is a link"),
        ("outputs", "expected a run folder"),
        ("x", "no run of this id"),
    ):
        with pytest.raises(Refused, match=said):
            rm.main(["v1", wrong, "-y"])
    assert (outputs / "vae-digits" / "v1").is_dir() and run.is_dir()  # nothing was deleted
    with pytest.raises(Refused, match="expected at least one RUN"):
        rm.main(["paths.outputs=outputs"])


def test_what_a_link_in_a_run_leads_to_stays(outputs, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    (outputs / "vae-digits/v0/samples/link").symlink_to(tmp_path / "mine")
    (outputs / "vae-digits/v0/checkpoints/thesis.ckpt").symlink_to(tmp_path / "mine" / "thesis.tex")
    prune.main(["v0", "-y"])
    rm.main(["v0", "-y"])
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years" and not (outputs / "vae-digits/v0").exists()


def test_the_end_of_the_input_is_no(outputs, monkeypatch, capsys):
    def ends(question):
        raise EOFError

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", ends)
    assert rm.main(["v0"]) == 0 and "nothing was deleted" in capsys.readouterr().out


def test_rm_and_prune_take_patterns_but_no_conditions(outputs, capsys):
    (outputs / "sweeps" / "first").mkdir(parents=True)
    assert prune.main(["outputs/v*/*", "-y"]) == 0 and "v1" in capsys.readouterr().out
    assert rm.main(["outputs/*/v*", "-y"]) == 0 and [path.name for path in outputs.glob("*/*")].count("v0") == 0
    with pytest.raises(Refused, match="model=gan: genrun rm takes no conditions"):
        rm.main(["model=gan", "-y"])
    with pytest.raises(Refused, match="no run folder matches this pattern"):
        rm.main(["outputs/*/none*", "-y"])


def test_a_plot_is_of_one_data_set(outputs):
    some_run(outputs, "m0", model="vae", data="mnist", frechet=3.0)
    with pytest.raises(Refused, match="distances on different data cannot be compared; add data="):
        compare.main(["--out", "a.png"])


def test_linked_checkpoints_stay(outputs, tmp_path):
    run = outputs / "vae-digits" / "v0"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "last.ckpt").write_text("mine")
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").symlink_to(tmp_path / "mine")
    prune.main(["v0", "-y"])
    rm.main(["v0", "-y"])
    assert (tmp_path / "mine" / "last.ckpt").read_text() == "mine" and not run.exists()


def test_a_run_that_goes_on_while_the_question_waits_keeps_its_checkpoints(outputs, monkeypatch):
    run = outputs / "vae-digits" / "v0"
    (run / "checkpoints" / "last.ckpt").write_text("needed")

    def goes_on(question):
        change_json(RunFolder(run), "status.json", lambda status: status.update(state="interrupted"))
        return "y"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", goes_on)
    with pytest.raises(Refused, match="is not finished"):
        prune.main(["v0"])
    assert (run / "checkpoints" / "last.ckpt").exists()


def test_rm_of_the_folder_one_stands_in(outputs, monkeypatch):
    monkeypatch.chdir(outputs / "vae-digits" / "v0")
    assert rm.main([".", "-y"]) == 0 and not (outputs / "vae-digits" / "v0").exists()


def test_compare_overwrites_nothing(outputs, tmp_path):
    (tmp_path / "notes.md").write_text("mine")
    with pytest.raises(Refused, match=r"notes\.md exists already"):
        compare.main(["--out", "notes.md"])
    assert (tmp_path / "notes.md").read_text() == "mine"


def test_an_unjudged_run_whose_scores_are_damaged_is_named(outputs, capsys):
    damaged = some_run(outputs, "d0", model="gan")
    (damaged.path / "metrics.csv").write_text("epoch,step\n1\n")
    assert compare.main([]) == 0
    said = capsys.readouterr()
    assert "d0/metrics.csv" in said.err and "vae" in said.out


def test_prune_deletes_checkpoints_and_earlier_tables_only(outputs, capsys):
    run = outputs / "vae-digits" / "v0"
    (run / "checkpoints" / "last.ckpt").write_bytes(bytes(2000))
    (run / "results.old-1.json").write_text("{}")
    before = {path.name for path in run.iterdir()}
    assert prune.main(["v0", "--yes"]) == 0
    assert not any(run.rglob("*.ckpt")) and before - {path.name for path in run.iterdir()} == {"results.old-1.json"}
    assert "freed" in capsys.readouterr().out
    assert prune.main(["v0", "-y"]) == 0 and "there is nothing to delete" in capsys.readouterr().out
    change_json(some_run(outputs, "half"), "status.json", lambda status: status.update(state="interrupted"))
    with pytest.raises(Refused, match=r"half is not finished \(interrupted\): it resumes from its checkpoints"):
        prune.main(["half", "-y"])


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_900, "1 MB"), (12_345_678, "12.3 MB")]
)
def test_sizes(tmp_path, size, text):
    (tmp_path / "a").write_bytes(b"")
    os.truncate(tmp_path / "a", size)
    assert rm.size([tmp_path]) == text
