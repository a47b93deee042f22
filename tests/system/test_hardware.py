"""What this machine computes with."""

from __future__ import annotations

import json

import pytest
import torch
from conftest import TINY
from rich.console import Console
from safetensors.torch import load_file

from genrun.config.compose import compose
from genrun.errors import Refused
from genrun.run import run
from genrun.system.hardware import check_device, device_of, precision, processes, threads_of_each

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


# -------------------------------------------------------------------------------------------------------------- devices


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ["hardware=gpu"],
            r"hardware.accelerator=gpu: this machine has none that torch can use; it has cpu \(\d+ cores\)$",
        ),
        (["hardware=gpu_multi"], r"hardware.accelerator=gpu: this machine has none .* it has cpu"),
        (["hardware=mps"], r"hardware.accelerator=mps: this machine has none .* it has cpu"),
        (["hardware.accelerator=tpu"], r"hardware.accelerator: expected one of auto, cpu, gpu, cuda, mps, got 'tpu'"),
    ],
)
def test_a_device_that_the_machine_lacks_is_refused_before_anything_is_written(processor, overrides, line, tmp_path):
    processor({})
    every = [*TINY, *overrides, f"paths.outputs={tmp_path / 'outputs'}"]
    with pytest.raises(Refused, match=line):
        run(compose(every), every, Console(quiet=True))
    assert not (tmp_path / "outputs").exists()


@pytest.fixture
def gpus(processor, monkeypatch):
    """A machine with two GPUs, as far as is asked before they are used."""
    processor({})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")


def test_as_many_devices_as_there_are(gpus):
    for overrides, devices, kind in (
        (["hardware=gpu_multi"], 2, "cuda"),
        (["hardware=gpu"], 1, "cuda"),
        (["hardware=auto"], 1, "cuda"),
        (["hardware=cpu", "hardware.devices=auto"], 1, "cpu"),
        (["hardware=cpu", "hardware.devices=3"], 3, "cpu"),
    ):
        cfg = compose(overrides)
        check_device(cfg)
        assert (processes(cfg), device_of(cfg).type) == (devices, kind)
    with pytest.raises(
        Refused, match=r"hardware.devices=3: this machine has fewer for gpu; it has cpu .*, gpu \(2: Some GPU\)"
    ):
        check_device(compose(["hardware=gpu", "hardware.devices=3"]))
    with pytest.raises(Refused, match=r"it has cpu .*, gpu \(2: Some GPU\)"):
        check_device(compose(["hardware=mps"]))


def test_the_processes_divide_the_threads_that_torch_would_use(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    assert threads_of_each(compose(["hardware=cpu", "hardware.devices=2"])) == 2
    assert threads_of_each(compose(["hardware=cpu", "hardware.devices=8"])) == 1
    assert threads_of_each(compose(["hardware=cpu", "hardware.devices=2", "hardware.threads=4"])) == 4


# -------------------------------------------------------------------------------------------------------- memory format


def test_channels_last_changes_no_more_than_rounding(tmp_path):
    def trained(memory_format: str):
        every = ["model=gan", "data=digits", "data.limit=64", "data.batch_size=32", "data.passes=1", "trainer.max_epochs=1",
                 "hardware=cpu", "hardware.precision=64-true", "sample.n=10", "evaluation=none", "callbacks=none",
                 f"hardware.memory_format={memory_format}", f"paths.outputs={tmp_path}"]  # fmt: skip
        return run(compose(every), every, Console(quiet=True))

    usual, other = trained("contiguous"), trained("channels_last")
    assert usual.path != other.path
    theirs = load_file(other.weights)
    for name, weight in load_file(usual.weights).items():
        torch.testing.assert_close(weight, theirs[name], rtol=1e-6, atol=1e-9)


def test_channels_last_is_refused_where_nothing_convolves(tiny):
    with pytest.raises(Refused, match=r"hardware.memory_format=channels_last is for convolutions, and csgm has none"):
        tiny("hardware.memory_format=channels_last")
