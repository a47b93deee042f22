"""NOTA as a run: its epochs, resume bit for bit, labels, particles apart from new draws, the density in the table, the Swiss roll."""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest
import torch
from conftest import outcome
from pytorch_lightning import Callback
from rich.console import Console

from genrun.config.compose import compose
from genrun.data.sources import digits
from genrun.errors import Interrupted, Refused
from genrun.inference import seeded
from genrun.run import run
from genrun.runs.folder import RunFolder
from genrun.runs.open import open_run

TRANSPORT = "genrun.maths.transport"
LAYERS = f"model.layers=[{{_target_: {TRANSPORT}.Tiled, patch: 0.5, steps: 2}},{{_target_: {TRANSPORT}.Tiled, patch: 2, steps: 3}}]"
SHORT = (
    "model=nota",
    LAYERS,
    "model.steps_per_epoch=1",
    "data=digits",
    "data.limit=400",
    "model.particles=1500",
    "sample.n=200",
)


def train(outputs, *overrides: str, callbacks=()) -> RunFolder:
    every = [*SHORT, "evaluation=none", *overrides, f"paths.outputs={outputs}"]
    return run(compose(every), every, Console(quiet=True), callbacks=callbacks)


class Stop(Callback):
    """Send a signal at the end of the third epoch."""

    def on_train_batch_end(self, trainer, method, outputs, batch, batch_idx: int) -> None:
        if trainer.current_epoch == 2:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> RunFolder:
    return train(tmp_path_factory.mktemp("finished"))


def test_the_training_ends_with_the_last_layer(finished):
    rows = finished.metrics()
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5] and rows[-1]["step"] == 5
    assert open_run(finished.path).method().flow.last_fitted_layer == 2
    # the particles come nearer to the images, and so do new draws
    assert rows[-1]["train/sliced_wasserstein"] < rows[0]["train/sliced_wasserstein"]
    assert rows[-1]["val/score"] < rows[0]["val/score"]


def test_a_training_can_be_shorter_than_the_architecture(tmp_path):
    folder = train(tmp_path, "trainer.max_epochs=3")
    flow = open_run(folder.path).method().flow
    assert (flow.fitted_steps, flow.last_fitted_layer) == (3, 1)


def test_a_killed_run_goes_on_at_its_last_step_and_ends_with_the_same_maps(finished, tmp_path):
    with pytest.raises(Interrupted):
        train(tmp_path, callbacks=[Stop()])
    assert outcome(train(tmp_path)) == outcome(finished)


def test_batches_of_less_than_all_images_are_steps_too(tmp_path):
    folder = train(tmp_path, "data.batch_size=150")  # three batches an epoch
    assert len(folder.metrics()) == 2
    assert open_run(folder.path).method().flow.fitted_steps == 5


def test_a_run_that_is_killed_within_an_epoch_goes_on_with_its_next_batch(tmp_path):
    class Second(Callback):
        def on_train_batch_end(self, trainer, method, outputs, batch, batch_idx: int) -> None:
            if (trainer.current_epoch, batch_idx) == (0, 1):
                os.kill(os.getpid(), signal.SIGTERM)

    whole = train(tmp_path / "whole", "data.batch_size=150")
    with pytest.raises(Interrupted):
        train(tmp_path / "killed", "data.batch_size=150", callbacks=[Second()])
    assert outcome(train(tmp_path / "killed", "data.batch_size=150")) == outcome(whole)


def test_samples_follow_their_labels_unless_the_labels_are_not_used(finished, tmp_path):
    assert open_run(finished.path).method().num_classes == 10
    without = open_run(train(tmp_path, "model.conditional=false").path).method()
    assert without.num_classes == 0
    with pytest.raises(Refused, match=r"model.conditional=true needs a start that depends on the class"):
        train(tmp_path, "model/start=normal", "model.conditional=true")


def test_fitted_particles_are_as_many_of_each_class(finished):
    images, labels = open_run(finished.path).method().fitted_particles(100)
    assert images.shape == (100, 1, 8, 8) and labels.bincount().tolist() == [10] * 10


def test_codes_come_back_as_images(finished):
    method, images = open_run(finished.path).method(), digits().test.images(torch.arange(20))
    again = method.decode_codes(method.encode(images))
    np.testing.assert_allclose(again, images, atol=0.02)


def test_the_table_shows_particles_apart_and_the_density(tmp_path):
    folder = train(
        tmp_path,
        "evaluation=full",
        "evaluation.train_on_generated=0",
        "evaluation.classifier.steps=50",
        "evaluation.observer.steps=20",
        "sample.n=300",
    )
    rows = {row["name"]: row["value"] for row in json.loads((folder.path / "results.json").read_text())["rows"]}
    for name in ("label accuracy", "Fréchet distance (observer)", "coverage (observer)"):
        assert rows[f"fitted particles: {name}"] is not None
    assert np.isfinite(rows["bits per dimension"])
    assert rows["parameters"] > 1000
    assert (folder.figures / "particles.png").is_file()


def test_polynomials_and_sizes_have_no_density(tmp_path):
    layer = f"model.layers=[{{_target_: {TRANSPORT}.Linear, map: {{_target_: {TRANSPORT}.Polynomial}}}}]"
    with pytest.raises(Refused, match="MonotoneNOTA needs monotone maps"):
        train(tmp_path, layer)
    with pytest.raises(Refused, match="has a density with linear only, got clamp"):
        train(tmp_path, "model.extrapolate=clamp")


@pytest.mark.parametrize(
    ("overrides", "error"),
    [
        (["model.particles=1"], "model.particles: expected at least 2, got 1"),
        (["model.steps_per_epoch=0"], "model.steps_per_epoch: expected at least 1"),
        (["model.layers=[]"], "model.layers: expected at least one layer"),
        ([f"model.layers=[{{_target_: {TRANSPORT}.Tiled, patch: 9}}]"], "patch=9: the image has only 8×8 pixels"),
        ([f"model.layers=[{{_target_: {TRANSPORT}.Tiled, path: 9}}]"], r"model.layers.0.*path"),
    ],
)
def test_bad_options_are_refused_in_one_line(overrides, error, tmp_path):
    with pytest.raises(Refused, match=error):
        train(tmp_path, *overrides)


def test_fewer_particles_than_the_degree_are_refused(tmp_path):
    every = ["model=nota_linear", "model.particles=5", "data=digits", "evaluation=none", f"paths.outputs={tmp_path}"]
    with pytest.raises(Refused, match="layer 1, Linear: a polynomial of degree 5 needs at least 6 particles"):
        run(compose(every), every, Console(quiet=True))


def test_the_swiss_roll_is_learned_to_the_distance_of_its_halves(tmp_path):
    every = [
        "experiment=nota_swiss_roll",
        "model.steps_per_epoch=30",
        f"paths.outputs={tmp_path}",
    ]
    folder = run(compose(every), every, Console(quiet=True))
    rows = {row["name"]: row for row in json.loads((folder.path / "results.json").read_text())["rows"]}
    distance = rows["sliced Wasserstein distance"]
    assert distance["value"] < 1.5 * distance["floor"]
    assert 0 < rows["bits per dimension"]["value"] < 10
    assert (folder.figures / "points.png").is_file()
    images = open_run(folder.path).method().sample(10, generator=seeded(0))
    assert images.shape == (10, 3, 1, 1)
