"""What the judge says of controls: it passes real images, and copies scream."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.judge import by_name, make_judge, some_samples
from rich.console import Console

from genrun.config.compose import compose
from genrun.errors import Refused
from genrun.evaluation.controls import judged
from genrun.evaluation.rows.row import Row
from genrun.parts import build_data, build_judge
from genrun.report.verdict import mark


@pytest.fixture(scope="module")
def told(shapes) -> dict[str, dict[str, Row] | str]:
    """What the judge says of each control."""
    judge = make_judge(shapes)
    return {
        control.name.split(" (")[0]: by_name(rows) if isinstance(rows, list) else rows
        for control, rows in judged(judge)
    }


def test_held_out_real_images_pass(told):
    rows = told["held-out real images"]
    assert rows["label accuracy"].value > 0.95
    assert rows["class entropy"].value == pytest.approx(np.log(3), abs=0.01)
    assert rows["nearest-neighbour ratio"].value == pytest.approx(1, abs=0.1)
    assert rows["authenticity"].value == pytest.approx(rows["authenticity"].floor) and rows["authenticity"].value > 0.3
    assert abs(rows["copying statistic C_T"].value) < 3
    for space in ("observer", "random"):
        assert rows[f"Fréchet distance ({space})"].value < 5 * rows[f"Fréchet distance ({space})"].floor
        assert abs(rows[f"kernel distance ({space})"].value) < 5 * rows[f"kernel distance ({space})"].spread
        for name in ("precision", "recall", "coverage"):
            assert rows[f"{name} ({space})"].value > 0.85
    assert rows["train on generated, test on real"].value > 0.9 and rows["train on real, test on generated"].value > 0.9


def test_copies_scream(told):
    rows = told["copies of training images"]
    assert rows["copying statistic C_T"].value < -10 < -3 < rows["copying statistic C_T"].floor
    assert rows["nearest-neighbour ratio"].value < 1e-3 and rows["authenticity"].value < 1e-3
    assert rows["precision (random)"].value > 0.9  # quality alone does not tell them from a good generator


def test_copies_with_slight_noise_scream(shapes):
    judge = make_judge(shapes, "evaluation.train_on_generated=0")
    images, _ = some_samples(shapes, 700, "train").values()
    noise = np.random.default_rng(0).integers(-2, 3, images.shape)  # of 255
    noisy = torch.from_numpy((images.astype(int) + noise).clip(0, 255).astype(np.uint8))[:, None]
    rows = by_name(judge.judge(noisy))
    assert rows["copying statistic C_T"].value < -3 and rows["nearest-neighbour ratio"].value < 0.6
    assert rows["authenticity"].value < 0.5 * rows["authenticity"].floor


def test_one_class_loses_recall_and_entropy(told):
    rows, real = told["one class only"], told["held-out real images"]
    assert rows["class entropy"].value < 0.1
    assert rows["label accuracy"].value > 0.95
    for space in ("observer", "random"):
        assert rows[f"recall ({space})"].value < 0.6 * real[f"recall ({space})"].value
        assert rows[f"coverage ({space})"].value < 0.6
        assert rows[f"Fréchet distance ({space})"].value > 5 * rows[f"Fréchet distance ({space})"].floor


def test_blur_and_constant_images_are_far_off(told):
    for control in ("Gaussian blur of one pixel", "constant images"):
        rows = told[control]
        for space in ("observer", "random"):
            assert rows[f"Fréchet distance ({space})"].value > 5 * rows[f"Fréchet distance ({space})"].floor
        assert rows["kernel distance (random)"].value > 5 * rows["kernel distance (random)"].spread
    constant = told["constant images"]
    assert constant["precision (random)"].value < 0.3 and constant["label accuracy"].value < 0.6
    assert constant["copying statistic C_T"].value > 3


def test_each_new_witness_has_its_control(told):
    real, copies = told["held-out real images"], told["copies of training images"]
    less, half, chains = (told[name] for name in ("one class less", "the plainer half", "chains of 10 states"))
    density, coverage, cells = (
        f"{name} (observer)" for name in ("clipped density", "clipped coverage", "PQMass chi-square")
    )
    divergence, gap = (f"{name} (observer)" for name in ("feature likelihood divergence", "generalisation gap"))
    for name in (density, coverage, cells, divergence, gap, "independent samples", "samples with a twin"):
        assert mark(real[name].to_dict()) in ("real", "good"), name
    assert real[density].value > 0.85 and real[coverage].value > 0.75
    assert copies[gap].value < -1000 and mark(copies[gap].to_dict()) == "bad"
    assert copies[coverage].value > 0.75  # quality and variety do not tell copies
    assert less[coverage].value < 0.85 and less[density].value > 0.95
    for poor in (less, half):
        assert poor[cells].value > 2 * poor[cells].floor and poor[divergence].value > real[divergence].value + 3
        assert mark(poor[gap].to_dict()) != "bad"
    assert mark(chains["independent samples"].to_dict()) == "bad"
    assert chains["independent samples"].value < 0.2 and "alike 70 places apart" in chains["independent samples"].note
    assert all(rows["independent samples"].value == 1 for rows in (real, copies, less, half))


def test_fewer_samples_than_features_are_refused_in_words(told):
    assert "20 samples are too few, the judge compares 128 features and needs at least 129" in told["20 images"]


# ------------------------------------------------------------------------------------------------------------- on MNIST


@pytest.mark.slow
def test_the_reference_classifier_and_the_controls_on_mnist(tmp_path):
    cfg = compose(["data=mnist", "evaluation.train_on_generated=0"])
    data = build_data(cfg)
    try:
        data.prepare()
    except Refused as error:
        pytest.skip(f"MNIST is not here: {error}")
    cfg.data.facts = data.facts().to_dict()
    judge = build_judge(cfg, data, Console(quiet=True))
    said = {control.name: by_name(rows) for control, rows in judged(judge) if isinstance(rows, list)}
    held_out, copies = said["held-out real images"], said["copies of training images"]
    assert held_out["label accuracy"].floor >= 0.993  # of the test images
    assert abs(held_out["copying statistic C_T"].value) < 3 and held_out["authenticity"].value > 0.4
    assert copies["copying statistic C_T"].value < -10 and copies["authenticity"].value < 0.001
    assert said["copies with noise of 0.05"]["copying statistic C_T"].value < -5
    one = next(rows for name, rows in said.items() if name.startswith("one class"))
    assert one["class entropy"].value < 0.2 and one["recall (random)"].value < 0.3
    blurred, constant = said["Gaussian blur of one pixel"], said["constant images"]
    for space in ("observer", "random"):
        real = held_out[f"Fréchet distance ({space})"].value
        assert (
            min(blurred[f"Fréchet distance ({space})"].value, constant[f"Fréchet distance ({space})"].value) > 5 * real
        )
