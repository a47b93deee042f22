"""A training in reduced precision checks the arithmetic of its device in its first step, and otherwise stays as it was."""

from __future__ import annotations

import json

import pytest
import torch
from conftest import outcome
from pytorch_lightning.callbacks import Callback
from rich.console import Console
from torch import nn
from torch.nn import functional as F

from genrun.config.compose import compose
from genrun.errors import Interrupted, Refused
from genrun.run import run
from genrun.runs.folder import RunFolder

VAE = ("model=vae", "model/encoder=mlp", "model/decoder=mlp", "model.encoder.hidden=[8]", "model.decoder.hidden=[8]",
       "model.code_size=4", "model.prior.components=1")  # fmt: skip
SHORT = ("data=digits", "data.limit=90", "data.passes=1", "data.batch_size=32", "hardware=cpu", "sample.n=4", "evaluation=none",
         "callbacks=none", "trainer.max_epochs=2")  # fmt: skip


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Run the least VAE on a processor that has bfloat16: overrides → its folder."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)

    def started(*overrides: str, model=VAE, callbacks=(), console=None) -> RunFolder:
        every = [*model, *SHORT, f"paths.outputs={tmp_path}", *overrides]
        return run(compose(every), every, console or Console(quiet=True), callbacks=callbacks)

    return started


@pytest.fixture
def faulty(monkeypatch):
    """Linear layers that, in bfloat16, read memory that was never written."""

    def forward(self, x):
        right = F.linear(x, self.weight, self.bias)
        return right if right.dtype == torch.float32 else right + torch.empty_like(right)

    monkeypatch.setattr(nn.Linear, "forward", forward)


def arithmetic(folder: RunFolder) -> dict:
    return json.loads((folder.path / "provenance.json").read_text()).get("arithmetic", {})


def test_auto_computes_in_32_bits_where_bfloat16_is_wrong(start, faulty, tmp_path):
    with open(tmp_path / "shown", "w") as shown:
        found = start(console=Console(file=shown, width=400))
    line = r"encoder.1.0: in bfloat16 on this cpu gives"
    assert (
        line in (tmp_path / "shown").read_text()
        and "this training computes in 32 bits" in (tmp_path / "shown").read_text()
    )
    assert arithmetic(found)["fit"]["fault"].startswith(line)
    assert found.status()["state"] == "done"
    exact = start("hardware.precision=32-true")
    assert outcome(found) == outcome(exact) and arithmetic(exact) == {}
    again = start("run.resume=never", "sample.n=5")  # not what the folder moved aside records
    assert arithmetic(again) == arithmetic(found) and outcome(again)["metrics.csv"] == outcome(exact)["metrics.csv"]


def test_a_precision_that_was_asked_for_is_refused_where_it_is_wrong(start, faulty, tmp_path):
    line = r"^hardware.precision=bf16-mixed: encoder.1.0: in bfloat16 on this cpu gives .*; use hardware.precision=32-true$"
    with pytest.raises(Refused, match=line):
        start("hardware.precision=bf16-mixed")
    (folder,) = (RunFolder(path.parent) for path in tmp_path.rglob("status.json"))
    assert arithmetic(folder)["fit"]["fault"].startswith("encoder.1.0: ") and not folder.has_checkpoint()
    with pytest.raises(Refused, match=line):  # again: it was not trained, so it is checked again
        start("hardware.precision=bf16-mixed")


def test_a_dry_run_says_so_too(start, faulty, tmp_path):
    with pytest.raises(Refused, match=r"hardware.precision=bf16-mixed: encoder.1.0"):
        start("hardware.precision=bf16-mixed", "run.dry_run=true")
    with open(tmp_path / "shown", "w") as shown:
        start("run.dry_run=true", console=Console(file=shown, width=400))
    assert "precision 32-true" in (tmp_path / "shown").read_text()


@pytest.mark.parametrize(
    "model",
    [
        VAE,
        ("model=vae", "model.encoder.width=4", "model.decoder.width=4", "model.prior.components=1"),
        ("model=gan", "model.generator.widths=[8]", "model.discriminator.widths=[8]"),
        ("model=rbm", "model.hidden=16", "model.gibbs_steps=2"),
        ("model=ddpm", "model.network.widths=[8,16]"),
    ],
    ids=["perceptrons", "vae", "gan", "rbm", "ddpm"],
)
def test_the_check_changes_no_bit_of_a_run(model, start, tmp_path, monkeypatch):
    asked = ("hardware.precision=bf16-mixed", "trainer.max_epochs=1")
    checked = start(*asked, model=model)
    record = arithmetic(checked)["fit"]
    assert record["operations"] > 5 and "fault" not in record and record["precision"] == "bf16-mixed"
    monkeypatch.setattr("genrun.training.trainer.check_of", lambda *_: [])
    plain = start(*asked, f"paths.outputs={tmp_path / 'plain'}", model=model)
    assert outcome(checked) == outcome(plain) and arithmetic(plain) == {}


class Stop(Callback):
    def on_train_epoch_start(self, trainer, method):
        if trainer.current_epoch == 1:
            raise Interrupted(2)


def test_a_training_that_goes_on_is_checked_once_on_a_device(start, monkeypatch):
    with pytest.raises(Interrupted):
        start(callbacks=[Stop()])
    begun = []
    monkeypatch.setattr("genrun.callbacks.arithmetic.CheckedArithmetic.__enter__", lambda *_: begun.append("check"))
    monkeypatch.setattr("genrun.callbacks.arithmetic.CheckedArithmetic.__exit__", lambda *_: None)
    monkeypatch.setattr("genrun.training.arithmetic.device_name", lambda _: "another")
    with pytest.raises(Interrupted):
        start(callbacks=[StopAtOnce()])
    assert begun == ["check"]
    monkeypatch.undo()
    monkeypatch.setattr("genrun.callbacks.arithmetic.CheckedArithmetic.__enter__", lambda *_: begun.append("again"))
    assert start("hardware.precision=auto").status()["state"] == "done" and begun == ["check"]


class StopAtOnce(Callback):
    def on_train_batch_end(self, trainer, *_):
        raise Interrupted(2)


def test_neither_32_nor_64_bits_are_checked(start):
    for precision in ("32-true", "64-true"):
        assert arithmetic(start(f"hardware.precision={precision}", "trainer.max_epochs=1")) == {}
