"""Runs of ReGene: ended in each phase and resumed, with the classifier of another run, refitted, on grey and colour images."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
import torch
from conftest import outcome
from pytorch_lightning import Callback
from rich.console import Console
from safetensors.torch import load_file

from genrun.config.compose import compose
from genrun.errors import Failed, Interrupted, Refused
from genrun.run import run
from genrun.runs.folder import RunFolder
from genrun.runs.open import open_run
from genrun.verbs import refit

SHORT = (
    *("model=regene", "data=digits", "data.limit=400", "data.passes=1", "data.batch_size=64"),
    *("model.encoder.width=0.2", "model.decoder.width=0.1", "model.prior.sources=20", "model.image_check=false"),
    *("model.phases.classifier.max_epochs=4", "model.phases.decoder_outline.max_epochs=2"),
    *("model.phases.decoder_pixels.max_epochs=2", "sample.n=20", "evaluation=none"),
    "run.figures=false",
)


def train(outputs, *overrides: str, callbacks=()) -> RunFolder:
    every = [*SHORT, f"paths.outputs={outputs}", *overrides]
    return run(compose(every), every, Console(quiet=True), callbacks=callbacks)


class Stop(Callback):
    """Send a signal in the second epoch of a phase."""

    def __init__(self, phase: str) -> None:
        self.phase = phase

    def on_train_batch_end(self, trainer, method, outputs, batch, batch_idx: int) -> None:
        if (method.phase, trainer.current_epoch, batch_idx) == (self.phase, 1, 2):
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> RunFolder:
    return train(tmp_path_factory.mktemp("finished"))


@pytest.mark.parametrize("phase", ["classifier", "decoder_outline", "decoder_pixels"])
def test_a_run_that_was_ended_in_any_phase_comes_to_the_same_end(finished, tmp_path, phase):
    with pytest.raises(Interrupted):
        train(tmp_path, callbacks=[Stop(phase)])
    assert outcome(train(tmp_path)) == outcome(finished)


def test_the_frozen_classifier_does_not_change_in_later_phases(finished):
    first, last = load_file(finished.checkpoints / "classifier" / "weights.safetensors"), load_file(finished.weights)
    frozen = [name for name in last if name.startswith(("encoder.", "head."))]
    assert frozen and all(torch.equal(first[name], last[name]) for name in frozen)  # with its running means
    assert last["thresholds"].min() > 0.1 and not first["thresholds"].any()


def test_the_classifier_of_an_earlier_run_is_taken(finished, tmp_path):
    other = train(tmp_path, f"model.classifier.from_run={finished.path}", "model.decoder.width=0.2", "seed=3")
    mine, theirs = load_file(other.weights), load_file(finished.weights)
    for name, value in mine.items():
        if name.startswith(("encoder.", "head.")):
            assert torch.equal(value, theirs[name])
    assert other.status()["phases"]["classifier"]["taken_over_from"] == finished.path.name
    assert not (other.checkpoints / "classifier" / "last.ckpt").exists()  # it was not trained here
    assert [row["phase"] for row in other.metrics()][:4] == ["classifier"] * 4
    open_run(other.path).method()
    status, moved = other.status(), tmp_path / "moved"
    moved.symlink_to(finished.path)
    same = train(tmp_path, f"model.classifier.from_run={moved}", "model.decoder.width=0.2", "seed=3")
    assert same.path == other.path and same.status() == status  # the id hangs on the weights, not on where they lie


def test_a_classifier_that_is_missing_or_another_one_is_refused(finished, tmp_path):
    with pytest.raises(Refused, match=r"model\.classifier\.from_run=.*there is no .*weights\.safetensors"):
        train(tmp_path, f"model.classifier.from_run={tmp_path}")
    with pytest.raises(Refused, match=r"weights of another classifier: 'encoder\.layers\.0\.bias' expected"):
        train(tmp_path, f"model.classifier.from_run={finished.path}", "model.encoder.width=0.4")


def test_other_weights_of_the_losses_do_not_train_the_classifier_again(finished):
    outputs = finished.path.parent.parent
    other = train(outputs, "model.phases.decoder_outline.ssim=0.5")
    assert other.path != finished.path and not (other.checkpoints / "classifier" / "last.ckpt").exists()


def test_no_held_out_images_are_refused_before_training(tmp_path):
    with pytest.raises(
        Refused, match=r"data\.validation=0: regene needs held-out images, which set what sampling needs"
    ):
        train(tmp_path, "data.validation=0")


def test_a_refit_combines_other_numbers_of_codes(finished):
    assert refit.main([str(finished.path), "model.prior.n=5", "model.prior.spread=averaged"]) == 0
    others = [path for path in finished.path.parent.iterdir() if path != finished.path]
    (other,) = (path for path in others if open_run(path).config.model.prior.n == 5)
    theirs, mine = open_run(other), open_run(finished.path)
    assert torch.equal(theirs.method().thresholds, mine.method().thresholds)
    assert not np.array_equal(theirs.samples()[0], mine.samples()[0])


def test_what_a_run_draws_passes_its_checks(tmp_path):
    """The real checks, on shapes that a short training learns, and the tables that they fill."""
    folder = train(
        tmp_path,
        *("data.limit=null", "model.image_check=true", "model.encoder.width=0.4", "model.decoder.width=0.3"),
        *("model.phases.classifier.max_epochs=10", "model.phases.decoder_outline.max_epochs=8", "sample.n=200"),
        *("evaluation=full", "evaluation.combinations=150", "evaluation.blends=150", "evaluation.linear_probe=300"),
        *("evaluation.classifier.steps=150", "evaluation.observer.steps=20", "evaluation.classifier.network.width=6"),
        *("evaluation.train_on_generated=0", "evaluation.memorisation=false", "evaluation.epoch_samples=0"),
        *("evaluation.classifier.network.num_features=32", "evaluation.random=false"),
    )
    method = open_run(folder.path).method()
    images, labels = (torch.from_numpy(one) for one in open_run(folder.path).samples())
    logits = method.classify(images.permute(0, 3, 1, 2).float() / 255)
    sure = logits.softmax(1).gather(1, labels[:, None]).squeeze(1)
    assert (sure >= method.thresholds[labels] - 0.02).all()  # the samples were rounded to 8 bits
    tables = open_run(folder.path).folder.results()["tables"]
    checked = [line for line in tables["combinations"] if line.get("checked")]
    assert len(checked) == 6 and all(line["tries a generation"] >= 1 for line in checked)
    assert {len(line["tries by class"]) for line in checked} == {10} and len(tables["blends"]) == 11


def test_a_run_whose_sampling_fails_goes_on_without_the_check_and_without_training(tmp_path):
    with pytest.raises(Failed, match="combinations passed the checks"):
        train(tmp_path, "model.image_check=true", "model.phases.decoder_outline.max_epochs=1", "model.max_tries=1")
    (path,) = (tmp_path / "regene-digits").iterdir()
    assert refit.main([str(path), "model.image_check=false", "model.max_tries=1000"]) == 0
    (other,) = (one for one in (tmp_path / "regene-digits").iterdir() if one != path)
    assert RunFolder(other).status()["state"] == "done" and not RunFolder(other).has_checkpoint()
    with pytest.raises(Refused, match=r"model\.decoder\.width=1: expected model/prior=choice .* model\.image_check=…"):
        refit.main([str(path), "model.decoder.width=1"])


def test_a_code_without_a_map_is_decoded_from_one_pixel(tmp_path):
    words = [word for word in SHORT if not word.startswith("model.encoder.")]
    words += ["model/encoder=densenet", "model.encoder.depth=10", "model.encoder.growth=4", f"paths.outputs={tmp_path}"]
    words += ["model.filter_sources=false", "model.latent_check=false"]
    folder = run(compose(words), words, Console(quiet=True))
    method = open_run(folder.path).method()
    assert method.head.in_features == method.encoder.num_features and method.decoder.layers[0].unflattened_size[1:] == (
        1,
        1,
    )


@pytest.mark.parametrize("model", ["autoencoder", "vae", "csgm"])
def test_combinations_are_a_prior_of_other_codes(model, tmp_path):
    small = {
        "autoencoder": ["model/encoder=mlp", "model/decoder=mlp", "model.code_size=4"],
        "vae": ["model/encoder=mlp", "model/decoder=mlp", "model.code_size=4"],
        "csgm": ["model.pixels=8", "model.hidden=[24,16]"],
    }[model]
    every = [
        *(f"model={model}", *small, "model/prior=convex", "model.prior.sources=10", "data=digits", "data.limit=200"),
        *("data.passes=1", "trainer.max_epochs=1", "sample.n=20", "evaluation=none", f"paths.outputs={tmp_path}"),
    ]
    folder = run(compose(every), every, Console(quiet=True))
    method = open_run(folder.path).method()
    assert method.prior.counts.tolist() == [10] * max(1, len(method.prior.counts))
    assert refit.main([str(folder.path), "model.prior.weights=dirichlet", "model.prior.n=3"]) == 0
