"""The judge as a whole: what its table carries, for any images."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from conftest import SHORT, genrun
from helpers.judge import by_name, make_judge, options, some_samples
from rich.console import Console

from genrun.config.compose import compose
from genrun.verbs.judges import make_judge as judge_of_data


def test_every_figure_carries_count_protocol_seed_and_floor(shapes, tmp_path, monkeypatch, capsys):
    np.savez(tmp_path / "samples.npz", **some_samples(shapes, 400))
    words = [str(tmp_path / "samples.npz"), *options(shapes), "seed=3", "--out", str(tmp_path / "table.json")]
    assert genrun("evaluate", *words, monkeypatch=monkeypatch) == 0
    results = json.loads((tmp_path / "table.json").read_text())
    assert len(results["features"]["observer"]) == 64 and results["seed"] == 3 and results["data"]
    known, *others = results["rows"]
    assert known["name"] == "reference classifier, accuracy" and known["value"] > 0.9
    valued = [row for row in others if row["value"] is not None]
    assert len(valued) >= 20
    for row in valued:
        assert row["count"] == 400 and row["seed"] == 3 and row["floor"] is not None, row
        assert row.get("floor_spread", -1) >= 0 or row["name"] == "independent samples", row
        assert row.get("protocol") or row["note"], row
        assert np.isfinite([row["value"], row["floor"], row.get("spread", 0)]).all()
    shown = capsys.readouterr().out
    assert "Fréchet (random)" in shown and "400 against 700 test images" in shown
    assert "needs more than 2048 samples, got 400" in " ".join(shown.split())


def test_inception_is_named_where_its_weights_are_missing_and_used_where_they_are_not(shapes, tmp_path, monkeypatch):
    images = torch.from_numpy(some_samples(shapes, 2100, "train")["images"])[:, None]
    missing = make_judge(shapes, f"paths.cache={tmp_path}")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (row,) = missing.by_inception(images)
    assert row.value is None and "evaluation.inception=fetch downloads them" in row.note

    class Stand(torch.nn.Module):
        num_features = 5

        def __init__(self, weights):
            super().__init__()
            self.register_buffer("weight", torch.randn(64, 5, generator=torch.Generator().manual_seed(0)))

        def forward(self, images):
            return images.flatten(1) @ self.weight

    monkeypatch.setattr("genrun.evaluation.judge.Inception", Stand)
    monkeypatch.setattr("genrun.evaluation.spaces.Inception", Stand)
    monkeypatch.setattr("genrun.evaluation.spaces.find_weights", lambda *_, **__: tmp_path)
    rows = by_name(make_judge(shapes).by_inception(images))
    assert {"Fréchet distance (Inception)", "recall (Inception)"} <= rows.keys()
    assert 0 < rows["Fréchet distance (Inception)"].value < 1


def test_the_order_of_samples_does_not_matter_where_they_are_sorted_by_class(shapes):
    judge, arrays = make_judge(shapes, "evaluation=quick"), some_samples(shapes, 700)
    order = np.argsort(arrays["labels"], kind="stable")
    both = [
        by_name(judge.judge(torch.from_numpy(arrays["images"][i])[:, None], torch.from_numpy(arrays["labels"][i])))
        for i in (np.arange(700), order)
    ]
    score = "inception score"
    assert both[1][score].value == pytest.approx(both[0][score].value, rel=0.02)
    assert both[0][score].value > 2.5  # sorted parts of one class each would give 1


def test_binary_samples_are_compared_with_binarised_images_as_well(shapes):
    images = torch.from_numpy(some_samples(shapes, 300)["images"])[:, None]
    binary = (images > 127).to(torch.uint8) * 255
    rows = by_name(make_judge(shapes, "evaluation=quick").judge(binary))
    grey, against_binary = (rows[f"Fréchet distance (observer{which})"] for which in ("", ", binarised"))
    assert against_binary.value < 0.2 * grey.value


def test_unlabelled_data_is_judged_without_a_classifier(tmp_path):
    np.savez(tmp_path / "images.npz", images=np.random.default_rng(0).integers(0, 256, (2000, 8, 8, 3), dtype=np.uint8))
    cfg = compose(["data=npz", f"data.source.path={tmp_path / 'images.npz'}", "data.validation=300", *SHORT])
    judge = judge_of_data(cfg, Console(quiet=True))
    rows = by_name(
        judge.judge(
            torch.randint(0, 256, (250, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        )
    )
    assert rows["label accuracy"].note == "this data has no classes"
    assert rows["Fréchet distance (observer)"].value > 0  # which way up an image is can be told without classes
    assert rows["recall (random)"].value > 0.8 and abs(rows["copying statistic C_T"].value) < 4


def test_real_images_that_are_too_few_are_named_and_give_no_number(shapes, tmp_path):
    for split, n in (("train", 1000), ("test", 100)):
        np.savez(tmp_path / f"{split}.npz", **some_samples(shapes, n, split))
    cfg = compose(options(tmp_path, "data.validation=200", "evaluation.train_on_generated=0"))
    judge = judge_of_data(cfg, Console(quiet=True))
    rows = by_name(judge.judge(torch.from_numpy(some_samples(shapes, 300)["images"])[:, None]))
    row = rows["Fréchet distance (random)"]
    assert row.value is None and row.note == "too few: 300 samples, 100 test and 800 training images"
    assert rows["Fréchet distance to training (random)"].value > 0


def test_images_of_64_pixels_in_colour_that_stream_are_judged_in_full(tmp_path, monkeypatch, capsys):
    generator = np.random.default_rng(0)
    for split, n in (("train", 400), ("test", 200)):
        tint = generator.uniform(0, 1, (n, 1, 1, 3)) * (np.arange(n) % 2 + 1)[:, None, None, None] / 2
        noisy = (tint + generator.normal(0, 0.05, (n, 64, 64, 3))).clip(0, 1)
        np.savez(tmp_path / f"{split}.npz", images=(noisy * 255).astype(np.uint8), labels=np.arange(n) % 2)
    words = [*options(tmp_path), "data.validation=150", "data.memory_limit=0", "evaluation.at_infinity=true"]
    words += [f"evaluation.{part}=10" for part in ("classifier.steps", "observer.steps", "train_on_generated")]
    asked = ["evaluate", str(tmp_path / "test.npz"), *words, "--out", str(tmp_path / "table.json")]
    assert genrun(*asked, monkeypatch=monkeypatch) == 0
    rows = {row["name"]: row for row in json.loads((tmp_path / "table.json").read_text())["rows"]}
    assert rows["precision (random)"]["value"] > 0.8 and rows["train on generated, test on real"]["value"] is not None
    assert "too few: 200 samples" in rows["Fréchet distance at infinity (random)"]["note"]


def test_the_distance_at_infinity_is_a_row_where_there_are_enough_samples(shapes):
    judge = make_judge(shapes, "evaluation=quick", "evaluation.at_infinity=true")
    rows = by_name(judge.judge(torch.from_numpy(some_samples(shapes, 700)["images"])[:, None]))
    plain, infinite = (rows[f"Fréchet distance{which} (observer)"] for which in ("", " at infinity"))
    assert infinite.value < plain.value


def test_samples_are_ordered_from_real_images_to_what_is_nothing_like_them(shapes):
    images = torch.from_numpy(some_samples(shapes, 60)["images"])[:, None]
    noise = torch.randint(0, 256, (20, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    order = make_judge(shapes, "evaluation=quick").from_best_to_worst(torch.cat([noise, images]))
    assert sorted(order.tolist()) == list(range(80)) and set(order[-20:].tolist()) == set(range(20))
