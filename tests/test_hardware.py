"""What this machine computes with."""

from __future__ import annotations

import json

import pytest
import torch

from genrun.cli import compose
from genrun.hardware import precision

NATIVE = {"avx512_bf16": True}


@pytest.fixture
def processor(monkeypatch):
    """A machine whose processor can do this and that, and nothing else."""

    def has(capabilities: dict[str, bool]) -> None:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    return has


@pytest.mark.parametrize(
    ("capabilities", "found"), [(NATIVE, "bf16-mixed"), ({"amx_bf16": True}, "bf16-mixed"), ({"avx2": True}, "32-true")]
)
def test_auto_is_bfloat16_where_the_processor_has_it(processor, capabilities, found):
    processor(capabilities)
    for hardware in ("auto", "cpu"):
        assert precision(compose([f"hardware={hardware}", "hardware.precision=auto"])) == found


def test_auto_asks_the_gpu_where_there_is_one(processor, monkeypatch):
    processor(NATIVE)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    assert precision(compose(["hardware.precision=auto"])) == "32-true"
    assert precision(compose(["hardware=cpu", "hardware.precision=auto"])) == "bf16-mixed"


def test_a_precision_that_is_asked_for_is_left_alone(processor):
    processor(NATIVE)
    assert precision(compose(["hardware.precision=64-true"])) == "64-true"
    assert precision(compose(["model=csgm"])) == "32-true"


def test_provenance_tells_what_auto_was(processor, tiny):
    processor({})
    folder = tiny("hardware.precision=auto", "trainer.max_epochs=1")
    record = json.loads((folder.path / "provenance.json").read_text())
    assert record["identity"]["precision"] == "auto"
    assert record["machine"]["precision"] == "32-true"
