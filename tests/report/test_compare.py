"""Finished runs beside a run: what tells them apart, the table of them all, and the figures."""

from __future__ import annotations

import json
import shutil

import pytest
from conftest import TINY_AUTOENCODER
from helpers.runs import unpack
from omegaconf import OmegaConf
from PIL import Image
from rich.console import Console

from genrun.config.compose import compose
from genrun.errors import Refused
from genrun.parts import read_facts, with_facts
from genrun.report.compare import check_beside, distinguishing_options, option_labels, short_names, sort_key
from genrun.run import run
from genrun.runs.folder import RunFolder
from genrun.runs.open import open_run


def trained(outputs, *overrides) -> RunFolder:
    every = [
        *TINY_AUTOENCODER,
        "model/prior=gaussian",
        "evaluation.reconstructions=20",
        "run.figures=true",
        f"paths.outputs={outputs}",
        *overrides,
    ]
    return run(compose(every), every, Console(quiet=True))


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    outputs = tmp_path_factory.mktemp("others")
    return [trained(outputs, f"model/error={error}") for error in ("mse", "cross_entropy")]


def test_runs_are_told_apart_by_what_does_not_follow_from_the_rest():
    configs = [
        compose(["model=autoencoder_paper", "model/error=mse"]),
        compose(["model=autoencoder_paper_5", "model/error=mse", "seed=3", "paths.outputs=elsewhere"]),
        compose(["model=autoencoder_paper_5", "model/error=distance", "seed=3"]),
    ]
    configs = [with_facts(cfg, read_facts(cfg)[0]) for cfg in configs]
    assert distinguishing_options(configs) == [  # the layers follow from the model, and so does the seed here
        {"model": "autoencoder_paper", "error": "MeanSquaredError"},
        {"model": "autoencoder_paper_5", "error": "MeanSquaredError"},
        {"model": "autoencoder_paper_5", "error": "Distance"},
    ]
    assert distinguishing_options(configs[:1]) == [{}]


def test_numbers_are_ordered_by_size():
    ordered = sorted([{"k": 100}, {"k": 9}, {"k": None}, {"k": "a"}], key=sort_key)
    assert ordered == [{"k": 9}, {"k": 100}, {"k": None}, {"k": "a"}]


def test_names_of_options_are_as_short_as_they_stay_clear():
    assert short_names(["optimizer.lr", "error", "encoder.hidden", "decoder.hidden"]) == [
        *("lr", "error", "encoder.hidden", "decoder.hidden"),
    ]
    assert short_names(["lr", "optimizer.lr", "phases.a.optimizer.lr"]) == ["lr", "optimizer.lr", "a.optimizer.lr"]


@pytest.mark.parametrize(
    ("settings", "labels"),
    [
        ([{"model": "vae", "optimizer.lr": 0.1}, {"model": "gan", "optimizer.lr": None}], ["vae, lr 0.1", "gan, lr –"]),
        (
            [{"encoder": "MLP", "decoder": "Conv", "loss": "mse"}, {"encoder": "Conv", "decoder": "MLP", "loss": "l1"}],
            ["encoder MLP, decoder Conv, mse", "encoder Conv, decoder MLP, l1"],
        ),
        (
            [{"encoder.hidden": [8], "decoder.hidden": [8]}, {"encoder.hidden": [8], "decoder.hidden": [4]}],
            ["encoder.hidden [8], decoder.hidden [8]", "encoder.hidden [8], decoder.hidden [4]"],
        ),
        ([{"lr": 0.00010001}, {"lr": 0.00010002}], ["lr 0.00010001", "lr 0.00010002"]),
        ([{"conditional": True}, {"conditional": False}], ["conditional True", "conditional False"]),
        ([{}], [""]),
    ],
)
def test_labels_of_runs_are_short_but_not_the_same(settings, labels):
    assert option_labels(settings) == labels and len(set(labels)) == len(labels)


def test_the_table_and_the_figures_show_them_all(others, tmp_path):
    pattern = f"run.beside=[{others[0].path.parent}/*]"
    folder = trained(tmp_path, "model/error=squared_distance", pattern)
    table = json.loads((folder.path / "results.json").read_text())["tables"]["beside"]["runs"]
    assert [one["settings"]["error"] for one in table] == ["CrossEntropy", "MeanSquaredError", "SquaredDistance"]
    for one, of in zip(table, [others[1], others[0], folder], strict=True):
        rows = json.loads((of.path / "results.json").read_text())["rows"]
        assert one["values"] == {row["name"]: row["value"] for row in rows}
    text = (folder.path / "results.md").read_text()
    assert f"| run | real | {others[1].path.name} | {others[0].path.name} | {folder.path.name} |" in text
    assert "| error |  | CrossEntropy | MeanSquaredError | SquaredDistance |" in text
    assert Image.open(folder.figures / "beside.png").height > 4 * 8
    assert (folder.figures / "beside_curves.png").is_file()

    before = folder.status()
    trained(tmp_path, "model/error=squared_distance", pattern)
    assert folder.status() == before  # nothing is missing
    trained(tmp_path, "model/error=squared_distance")
    assert json.loads((folder.path / "results.json").read_text())["tables"].get("beside") is None
    assert folder.status()["stages"]["fit"] == before["stages"]["fit"]  # it was not trained again


def test_what_cannot_stand_beside_a_run_is_refused_before_anything_is_written(others, tmp_path):
    with pytest.raises(Refused, match=r"nowhere: expected finished runs, got nothing there"):
        trained(tmp_path, "run.beside=[nowhere]")
    damaged = tmp_path / "damaged"
    shutil.copytree(others[0].path, damaged)
    (damaged / "results.json").unlink()
    with pytest.raises(Refused, match=r"results\.json is missing; genrun evaluate"):
        trained(tmp_path, f"run.beside=[{damaged}]")
    record = json.loads((damaged / "status.json").read_text())
    (damaged / "status.json").write_text(json.dumps(record | {"state": "failed"}))
    with pytest.raises(Refused, match="expected finished runs, got failed"):
        trained(tmp_path, f"run.beside=[{damaged}]")
    with pytest.raises(Refused, match="trained on other data"):
        trained(tmp_path, f"run.beside=[{others[0].path}]", "data=npz", f"data.source.path={images(tmp_path)}")
    foreign = tmp_path / "foreign"
    shutil.copytree(others[0].path, foreign)
    cfg = OmegaConf.load(foreign / "config.yaml")
    cfg.model._target_ = "os.system"
    OmegaConf.save(cfg, foreign / "config.yaml")
    with pytest.raises(Refused, match="if you trust this run"):
        trained(tmp_path, f"run.beside=[{foreign}]", "model/error=distance")
    assert not (tmp_path / "autoencoder-digits").exists()


def images(folder):
    import numpy as np

    file = folder / "images.npz"
    labels = np.arange(400) % 10
    np.savez(file, images=np.random.default_rng(0).integers(0, 255, (400, 8, 8), dtype=np.uint8), labels=labels)
    return file


@pytest.mark.parametrize("name", ["results.json", "metrics.csv", "model.safetensors", "config.yaml", "status.json"])
def test_a_damaged_run_beside_is_refused_before_training(name, tmp_path):
    other, own = unpack(tmp_path / "outputs"), RunFolder(tmp_path / "own")
    cfg = open_run(other.path).config
    cfg.run.beside = [str(other.path)]
    check_beside(cfg, own)
    (other.path / name).write_bytes(b"\xff")
    with pytest.raises(Refused, match=name):
        check_beside(cfg, own)
