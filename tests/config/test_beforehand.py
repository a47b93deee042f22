"""What is refused before torch is imported is refused after it too, in the same words; and what is right is not refused."""

from __future__ import annotations

from importlib import resources
from typing import Literal

import pytest

from genrun.config import beforehand
from genrun.config.beforehand import annotation, check_classes, check_loggers
from genrun.config.build import check_arguments, find_target
from genrun.config.compose import compose
from genrun.errors import Refused
from genrun.parts import check_beforehand

MODELS = sorted(file.name[:-5] for file in (resources.files("genrun.conf") / "model").iterdir() if file.is_file())


@pytest.mark.parametrize("model", [name for name in MODELS if name != "__init__"])
def test_every_model_passes(model, tmp_path):
    check_beforehand(compose([f"model={model}", f"paths.outputs={tmp_path}"]))


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("genrun.methods.vae.VAE", {"code_size": "abc"}),
        ("genrun.methods.vae.VAE", {"codesize": 3}),
        ("genrun.methods.vae.VAE", {"conditional": 3}),
        ("genrun.methods.vae.VAE", {"schedule": "cosinus"}),
        ("genrun.methods.vae.VAE", {"beta": "1e-3x"}),
        ("genrun.data.module.ImageData", {"limit": 2.5}),
        ("genrun.data.module.ImageData", {"name": 5}),
        ("genrun.evaluation.judge.Judge", {"neighbour": 5}),
        ("genrun.evaluation.judge.Judge", {"memorisation": "yes"}),
        ("genrun.nn.mlp.MLPDecoder", {"blocks": 2}),
    ],
)
def test_the_words_are_those_of_the_check_with_torch(target, options):
    with pytest.raises(Refused) as early:
        check_classes([{"_target_": target, **options}], "model.part")
    with pytest.raises(Refused) as late:
        check_arguments(find_target(target, "model.part.0"), options, "model.part.0", partial=True)
    assert str(early.value) == str(late.value)


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("nowhere.Model", "No module named 'nowhere'"),
        ("genrun.methods.vea.VAE", "No module named 'genrun.methods.vea'"),
        ("genrun.methods.vae.VEA", "genrun.methods.vae has no VEA"),
    ],
)
def test_a_class_that_is_not_there_is_refused(target, why):
    with pytest.raises(Refused, match=f"^model._target_={target}: cannot be imported .{why}"):
        check_classes({"_target_": target}, "model")


def test_what_the_source_does_not_say_is_left_for_later(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_model.py").write_text(
        "if True:\n    class Hidden: ...\nclass Open:\n    def __init__(self, a: int, **options): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    options = {"a": "${b}", "anything": 1}
    check_classes(
        {"x": {"_target_": "own_model.Hidden", **options}, "y": {"_target_": "own_model.Open", **options}}, "m"
    )
    check_classes({"_target_": "torch.optim.Adam", "lr": 1, "anything": 1}, "model.optimizer")
    with pytest.raises(Refused, match=r"model.optimizer.lr: expected a number, got 'fast'"):
        check_classes({"_target_": "torch.optim.Adam", "lr": "fast"}, "model.optimizer")


def test_words_of_types_are_annotations():
    assert [annotation(words) for words in ("int", "int | null", "true | false")] == [int, int | None, bool]
    assert annotation("a | b | null") == Literal["a", "b"] | None
    assert all(
        annotation(words) is None for words in ("", "part | null", "list of int", "int | auto", "mapping | part")
    )


def test_a_logger_without_its_package_is_refused(monkeypatch):
    wandb = {"wandb": {"_target_": "pytorch_lightning.loggers.WandbLogger"}}
    monkeypatch.setattr(beforehand, "find_spec", lambda name: None)
    with pytest.raises(Refused, match=r"^logger=wandb needs the extra wandb: .*no module wandb"):
        check_loggers(wandb)
    monkeypatch.setattr(beforehand, "find_spec", lambda name: name)
    check_loggers(wandb | {"own": {"_target_": "my.Logger"}, "empty": None})
