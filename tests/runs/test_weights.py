"""A saved model is not larger than its weights, and weights that are damaged are refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest
import torch
from helpers.runs import change_config, unpack
from safetensors.torch import load_file, save_file

from genrun.config.choices import models
from genrun.config.compose import compose
from genrun.config.container import to_container
from genrun.config.trust import build_trusted
from genrun.errors import Refused
from genrun.parts import with_facts
from genrun.runs import weights
from genrun.runs.folder import RunFolder
from genrun.runs.open import open_run
from genrun.types import Facts


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> RunFolder:
    return unpack(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def run(whole, tmp_path) -> RunFolder:
    shutil.copytree(whole.path, copy := tmp_path / "autoencoder-digits" / "autoencoder")
    return RunFolder(copy)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.image_shape", [1, 10**9, 10**6]),
        ("model.image_shape", [10**9, 8, 8]),
        ("model.code_size", 10**7),
        ("model.num_classes", 10**9),
        ("model.encoder.hidden", [10**9]),
        ("model.encoder.hidden", [8] * 500),
        ("model.decoder.hidden", [10**6, 10**6]),
        ("model.prior.components", 10**9),
    ],
)
def test_a_model_that_is_larger_than_its_weights_is_refused_before_it_takes_memory(key, value, run):
    change_config(run, key, value)
    with pytest.raises(Refused, match=r"weights of another model .* expected"):
        open_run(run.path).method()


def test_a_model_of_more_parts_than_its_weights_is_refused_before_they_are_built(run, monkeypatch):
    monkeypatch.setattr(weights, "SPARE_PARTS", 100)
    change_config(run, "model.encoder.hidden", [8] * 4000)
    with pytest.raises(Refused, match="more than 210 parts"):
        open_run(run.path).method()


def test_memory_besides_the_weights_is_limited(run, monkeypatch):
    monkeypatch.setattr(weights, "SPARE_BYTES", -10_000)
    with pytest.raises(Refused, match=r"needs .* bytes"):
        open_run(run.path).method()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.image_shape", [1, 8]),
        ("model.image_shape", [1, -8, 8]),
        ("model.image_shape", []),
        ("model.code_size", 10**18),
        ("model.code_size", -1),
        ("model.encoder", None),
        ("model.encoder._target_", "torch.nn.Linear"),
        ("model._target_", "torch.nn.Linear"),
        ("model._target_", "genrun.methods.gan.GAN"),
        ("model._target_", None),
        ("model.error", 3),
    ],
)
def test_a_model_that_cannot_be_built_is_refused_in_one_line(key, value, run):
    change_config(run, key, value)
    with pytest.raises(Refused) as error:
        open_run(run.path).method()
    assert "\n" not in str(error.value)


FIRST = "encoder.1.0.weight"


def with_first(change: Callable[[torch.Tensor], torch.Tensor | None]) -> Callable[[dict], dict]:
    def changed(state: dict) -> dict:
        first = change(state[FIRST])
        return {name: value for name, value in (state | {FIRST: first}).items() if value is not None}

    return changed


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (with_first(lambda weight: weight * float("nan")), f"'{FIRST}' has values that are NaN"),
        (with_first(lambda weight: weight.abs() / 0), f"'{FIRST}' has values that are infinite"),
        (
            lambda state: state | {"prior.means": state["prior.means"] * float("nan")},
            r"'prior\.means' has values that are NaN",
        ),
        (with_first(lambda weight: None), "got nothing"),
        (with_first(lambda weight: weight.int()), r"expected torch\.float32, got torch\.int32"),
        (with_first(lambda weight: weight.to(torch.complex64)), r"expected torch\.float32, got torch\.complex64"),
        (with_first(lambda weight: weight[:0]), r"got \(0, 64\)"),
        (lambda state: state | {"other": torch.zeros(3)}, "'other' expected nothing"),
        (lambda state: {}, "got nothing"),
    ],
)
def test_damaged_weights_are_refused(change, reason, run):
    save_file(change(load_file(run.weights)), run.weights)
    with pytest.raises(Refused, match=reason):
        open_run(run.path).method()


def test_a_file_that_is_no_file_of_weights_is_refused(run):
    whole = run.weights.read_bytes()
    for content in (b"", b"hello world", whole[: len(whole) // 2], whole[:100], (2**62).to_bytes(8, "little") + b"{}"):
        run.weights.write_bytes(content)
        with pytest.raises(Refused, match="cannot be read"):
            open_run(run.path).method()
    run.weights.unlink()
    os.mkfifo(run.weights)
    with pytest.raises(Refused, match=r"has no model\.safetensors"):
        open_run(run.path).method()


@pytest.mark.parametrize("name", models())
def test_every_method_is_built_without_memory(name):
    shape = (3, 32, 32)
    cfg = with_facts(compose([f"model={name}", "data=digits"]), Facts(shape, 2, ("a", "b"), 50, "0" * 64))
    node = {key: value for key, value in to_container(cfg.model).items() if key != "name"}
    with torch.device("meta"):
        method = build_trusted(node, "model")
    assert all(weight.is_meta for weight in method.parameters())
    assert sum(value.nbytes for value in method.buffers() if not value.is_meta) < 1000
