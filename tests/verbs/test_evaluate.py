"""`genrun evaluate`: one line for whatever is wrong, and a finished run judged again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import SHORT, genrun
from helpers.judge import options

from genrun.evaluation.judge import Judge


def test_controls_are_refused_at_once_where_too_few_images_were_held_out(shapes, tmp_path, monkeypatch, capsys):
    words = ["--controls", *options(shapes), "data.validation=100", "--out", str(tmp_path / "table.md")]
    assert genrun("evaluate", *words, monkeypatch=monkeypatch) == 2
    assert "need more than 128 held-out images, there are 100; set data.validation=129" in capsys.readouterr().err
    assert not (tmp_path / "table.md").exists()


# ------------------------------------------------------------------------------------------------------------ bad input


def npz(**arrays: np.ndarray) -> str:
    np.savez("bad.npz", **arrays)
    return "bad.npz"


def cut_short() -> str:
    content = Path(npz(images=np.zeros((300, 8, 8), np.uint8))).read_bytes()
    Path("bad.npz").write_bytes(content[: len(content) // 2])
    return "bad.npz"


GREY = np.zeros((300, 8, 8))
BAD = {
    "empty": (lambda: npz(images=GREY[:0]), r"there are no images in `images`"),
    "flat": (lambda: npz(images=GREY.reshape(300, 64)), r"got \(300, 64\); reshape them"),
    "0 to 255": (lambda: npz(images=GREY + 255), r"got 255 to 255; divide them by 255"),
    "NaN": (lambda: npz(images=np.where(np.arange(8) == 3, np.nan, GREY)), r"got NaN or Inf in 2,400 of 19,200"),
    "out of range": (lambda: npz(images=GREY - 0.5), r"must lie in \[0, 1\], got -0.5 to -0.5"),
    "integers": (
        lambda: npz(images=GREY.astype(np.int32)),
        r"must be uint8 \(0 to 255\) or floats in \[0, 1\], got int32",
    ),
    "zero and one": (
        lambda: npz(images=np.tile(np.eye(8, dtype=np.uint8), (300, 1, 1))),
        r"largest value is 1.*by 255",
    ),
    "twice divided": (lambda: npz(images=np.tile(np.eye(8) / 255, (300, 1, 1))), r"largest value is 1.*by 255"),
    "axes": (lambda: npz(images=np.random.default_rng(0).random((8, 8, 300))), r"looks like \(H, W, N\)"),
    "labels elsewhere": (lambda: npz(images=GREY, y=np.zeros(300, int)), r"has no array `labels`, but y"),
    "size": (lambda: npz(images=np.zeros((300, 9, 8))), r"has images of 1×9×8 \(C×H×W\), the data has 1×8×8"),
    "channels": (lambda: npz(images=np.zeros((300, 8, 8, 3))), r"has images of 3×8×8 \(C×H×W\), the data has 1×8×8"),
    "too few": (lambda: npz(images=GREY[:128]), r"128 samples are too few, the judge compares 128 features"),
    "labels": (lambda: npz(images=GREY, labels=np.arange(300)), r"label 299, expected 0 to 2 as in the data"),
    "mixed labels": (lambda: npz(images=GREY, labels=np.arange(300) - 1), r"`labels` must be 0 or more, got -1"),
    "number of labels": (lambda: npz(images=GREY, labels=np.zeros(3, int)), r"300 images but 3 labels"),
    "no images": (lambda: npz(pictures=GREY), r"has no array `images`, only pictures"),
    "cut short": (cut_short, r"cannot be read as .npz"),
    "missing": (lambda: "nowhere.npz", r"nowhere.npz: there is no such run folder or .npz file"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_samples_are_refused_in_one_line_and_nothing_is_written(what, shapes, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make, line = BAD[what]
    asked = [make(), *options(shapes), "--out", "table.md"]
    assert genrun("evaluate", *asked, monkeypatch=monkeypatch) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    with pytest.raises(AssertionError, match=line):
        raise AssertionError(said)
    assert not Path("table.md").exists()


def test_what_was_read_of_samples_is_said(shapes, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    images = np.load(shapes / "test.npz")["images"] / 255.0
    images[0, 0, 0] = 1 + 1e-7
    np.savez("mine.npz", images=images, labels=np.arange(len(images)) % 2, ids=np.arange(len(images)))
    monkeypatch.setattr(Judge, "judge", lambda *_: [])
    assert genrun("evaluate", "mine.npz", *options(shapes), monkeypatch=monkeypatch) == 0
    line = "mine.npz: 700 images; 3 classes: 0 350, 1 350, 2 0; no image of 2; left out: other arrays (ids)"
    assert line in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["evaluate"], r"expected runs or .npz files, or --controls"),
        (["evaluate", "x.npz", "--controls"], r"expected runs or .npz files, or --controls"),
        (["evaluate", "x.npz", "--output=3"], r"unrecognized arguments: --output=3"),
        (["evaluate", "x.npz", "evaluation=fast"], r"evaluation=fast: no such choice.*full, none, points, quick"),
        (["evaluate", "x.npz", "--out", "table.txt"], r"expected a name that ends in .md or .json"),
        (["evaluate", "."], r"expected a run folder \(with config.yaml\)"),
        (["evaluate", "x.npz", "sample.n=500"], r"sample.n=500: no run and no method is judged here"),
        (["evaluate", "x.npz", "evaluation.reconstructions=9"], r"evaluation.reconstructions=9: no run and no"),
        (["evaluate", "x.npz", "dat=digits"], r"dat: no such option.*did you mean 'data'"),
        (["evaluate", "--controls", "model=vae"], r"model=vae: no run and no method"),
        (["sample.n=100"], r"sample.n=100: 100 samples are too few, .* needs at least 129"),
        (["evaluation.neighbours=0"], r"evaluation.neighbours: expected at least 1, got 0"),
        (["evaluation.kernel_draws=2"], r"evaluation.kernel_draws: expected at least 3, got 2"),
        (["evaluation.kernel_drwas=2"], r"evaluation.kernel_drwas: no such option.*kernel_draws"),
        (["evaluation.memorisation=maybe"], r"evaluation.memorisation: expected true or false, got 'maybe'"),
        (["evaluation.epoch_samples=100"], r"evaluation.epoch_samples: expected more than the 128 features, got 100"),
        (["evaluation/classifier=resnet57"], r"evaluation/classifier=resnet57: no such choice.*resnet56"),
        (["evaluation.classifier.steps=0"], r"evaluation.classifier.steps: expected at least 8, got 0"),
        (["evaluation.classifier.optimizer.lr=-1"], r"evaluation.classifier: Invalid learning rate: -1"),
        (["evaluation/classifier=resnet56", "evaluation.classifier.network.depth=57"], r"evaluation.classifier: .*57"),
        (["evaluation.train_on_generated=3"], r"evaluation.train_on_generated: expected 0 or at least 8, got 3"),
        (
            ["evaluation.inception=nowhere.pth"],
            r"evaluation.inception: expected disk, fetch, null or a file, .*nowhere",
        ),
        (["evaluate", "--controls", "evaluation=none"], r"--controls need something to judge by"),
        (["evaluate", "--controls", "--out", "nowhere/table.md"], r"there is no folder nowhere"),
    ],
)
def test_wrong_words_are_refused_in_one_line(arguments, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("x.npz", images=np.zeros((300, 8, 8), np.uint8))
    assert genrun(*arguments, monkeypatch=monkeypatch) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    with pytest.raises(AssertionError, match=line):
        raise AssertionError(said)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npz"]


# ------------------------------------------------------------------------------------------------- a finished run again


def test_evaluate_judges_a_finished_run_again_and_keeps_everything_else(run_folder, monkeypatch, capsys):
    kept = {
        path: path.read_bytes()
        for path in run_folder.path.rglob("*")
        if path.is_file() and path.name not in ("results.json", "results.md", "status.json", ".lock")
    }
    assert genrun("evaluate", str(run_folder.path), "evaluation=quick", *SHORT, monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "Fréchet (observer)" in shown and "C_T" not in shown
    assert {path: path.read_bytes() for path in kept} == kept
    assert run_folder.status()["state"] == "done"
    assert json.loads((run_folder.path / "results.json").read_text())["evaluation"]["random"] is False
    assert json.loads((run_folder.path / "results.old-1.json").read_text())["evaluation"]["random"] is True


def test_evaluate_trains_on_mixed_sets_and_draws_them(run_folder, monkeypatch):
    words = ["evaluation=quick", *SHORT, "evaluation.mixed_training=[0,1,2]"]
    assert genrun("evaluate", str(run_folder.path), *words, monkeypatch=monkeypatch) == 0
    results = json.loads((run_folder.path / "results.json").read_text())
    assert [line["share"] for line in results["tables"]["mixed training"]] == [0, 1, 2]
    assert "mixed training, accuracy" in (run_folder.path / "results.md").read_text()
    assert "figures/mixed_training.png" in run_folder.status()["stages"]["evaluate"]["outputs"]


def test_a_run_that_cannot_be_judged_says_why(run_folder, tmp_path, monkeypatch, capsys):
    import shutil

    from omegaconf import OmegaConf

    copy = tmp_path / "copy"
    shutil.copytree(run_folder.path, copy)
    assert genrun("evaluate", str(copy), "data=mnist", monkeypatch=monkeypatch) == 2
    assert "data=mnist: a run is judged on its own data" in capsys.readouterr().err
    config = OmegaConf.load(copy / "config.yaml")
    for target in ("os.system", "genrun.runs.write_atomic", "genrun.data.folders.Path.unlink"):
        config.data.source._target_ = target
        OmegaConf.save(config, copy / "config.yaml")
        assert genrun("evaluate", str(copy), monkeypatch=monkeypatch) == 2
        assert "--trust" in capsys.readouterr().err
    status = json.loads((copy / "status.json").read_text())
    (copy / "status.json").write_text(json.dumps(status | {"state": "interrupted"}))
    assert genrun("evaluate", str(copy), monkeypatch=monkeypatch) == 2
    assert "is not finished (interrupted)" in capsys.readouterr().err
    (copy / "config.yaml").write_text("model: [1\n")
    assert genrun("evaluate", str(copy), monkeypatch=monkeypatch) == 2
    assert "config.yaml cannot be read" in capsys.readouterr().err
    (copy / "config.yaml").write_text("model: 1\n")
    assert genrun("evaluate", str(copy), monkeypatch=monkeypatch) == 2
    assert "cannot be read as the configuration of a run (model: expected" in capsys.readouterr().err


def test_a_lock_that_is_a_link_to_somewhere_is_not_followed(run_folder, tmp_path, monkeypatch, capsys):
    import shutil

    shutil.copytree(run_folder.path, tmp_path / "copy")
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "copy" / ".lock").unlink(missing_ok=True)
    (tmp_path / "copy" / ".lock").symlink_to(tmp_path / "precious")
    assert genrun("evaluate", str(tmp_path / "copy"), "evaluation=none", monkeypatch=monkeypatch) == 2
    assert "copy: Too many levels of symbolic links" in capsys.readouterr().err
    assert (tmp_path / "precious").read_text() == "mine"
