"""What this machine computes with."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from conftest import TINY
from rich.console import Console
from safetensors.torch import load_file

from genrun.config.compose import compose
from genrun.errors import Refused
from genrun.run import run
from genrun.system import hardware
from genrun.system.hardware import check_device, cores, device_of, precision, processes, threads_of_each
from genrun.system.threads import set_threads

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
    for name in ("auto", "cpu"):
        assert precision(compose([f"hardware={name}", "hardware.precision=auto"])) == found


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


# --------------------------------------------------------------------------------------------------------------- cores

V1 = "cpu.cfs_quota_us", "cpu.cfs_period_us"
OWN = {"cgroup v2": "0::/a/b\n", "cgroup v1": "12:pids:/x\n4:cpu,cpuacct:/a/b\n1:name=systemd:/y\n", "": ""}


@pytest.fixture
def quota(monkeypatch, tmp_path):
    """A machine of eight cores, and what the files of its cgroups say."""
    monkeypatch.setattr(hardware.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(hardware, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(hardware, "OWN_CGROUPS", tmp_path / "own")

    def says(files: dict[str, str], own: str = "") -> None:
        if own:
            (tmp_path / "own").write_text(own)
        for name, text in files.items():
            (tmp_path / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "cgroup" / name).write_text(text)

    return says


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("", {}, 8),
        ("", {"cpu.max": "200000 100000\n"}, 2),
        ("", {"cpu.max": "max 100000\n"}, 8),
        ("", {"cpu.max": "250000 100000\n"}, 2),
        ("", {"cpu.max": "20000 100000\n"}, 1),
        ("", {"cpu.max": "1600000 100000\n"}, 8),
        ("", {"unified/cpu.max": "300000 100000\n"}, 3),
        ("cgroup v2", {"a/b/cpu.max": "300000 100000\n", "a/cpu.max": "max 100000\n"}, 3),
        ("cgroup v2", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "400000 100000\n"}, 4),
        ("cgroup v2", {"a/b/cpu.max": "500000 100000\n", "a/cpu.max": "400000 100000\n"}, 4),
        ("cgroup v2", {"other/cpu.max": "100000 100000\n"}, 8),
        ("", {f"cpu/{V1[0]}": "-1\n", f"cpu/{V1[1]}": "100000\n"}, 8),
        ("", {f"cpu/{V1[0]}": "150000\n", f"cpu/{V1[1]}": "50000\n"}, 3),
        ("", {f"cpu,cpuacct/{V1[0]}": "200000\n", f"cpu,cpuacct/{V1[1]}": "100000\n"}, 2),
        ("cgroup v1", {f"cpu,cpuacct/a/b/{V1[0]}": "100000\n", f"cpu,cpuacct/a/b/{V1[1]}": "100000\n"}, 1),
        ("cgroup v1", {f"cpu/a/{V1[0]}": "600000\n", f"cpu/a/{V1[1]}": "100000\n"}, 6),
    ],
)
def test_a_quota_of_time_counts_as_cores(quota, own, files, expected):
    quota(files, OWN[own])
    assert cores() == expected


def test_the_affinity_counts_too(quota, monkeypatch):
    monkeypatch.setattr(hardware.os, "sched_getaffinity", lambda _: {5})
    quota({"cpu.max": "200000 100000\n"})
    assert cores() == 1


@pytest.mark.parametrize(
    ("asked", "environment", "expected"),
    [([], None, 2), (["hardware.threads=5"], None, 5), ([], "7", 7)],
    ids=["quota", "asked for", "OMP_NUM_THREADS"],
)
def test_threads_follow_the_quota_unless_they_are_asked_for(quota, monkeypatch, asked, environment, expected):
    quota({"cpu.max": "200000 100000\n"})
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("genrun.system.threads.idle_cores", lambda: None)
    if environment is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", environment)
    before = torch.get_num_threads()
    torch.set_num_threads(7)
    try:
        set_threads(compose(asked).hardware.threads)
        assert torch.get_num_threads() == expected
        assert (
            threads_of_each(compose([*asked, "hardware=cpu", "hardware.devices=2"])) == max(1, expected // 2) or asked
        )
    finally:
        torch.set_num_threads(before)


def test_every_way_to_compute_sets_the_threads(monkeypatch, tiny, tmp_path):
    """A run, and the verbs that compute without a run."""
    seen = []
    monkeypatch.setattr("genrun.system.threads.set_threads", lambda *_, **__: seen.append("verb"))
    monkeypatch.setattr("genrun.stages.context.set_threads", lambda *_, **__: seen.append("run"))
    folder = tiny("trainer.max_epochs=1")
    assert seen == ["run"]
    from genrun.verbs import evaluate, sample

    sample.main([str(folder.path), "--n", "2", "--out", str(tmp_path / "some.png")])
    evaluate.main([str(folder.path), "evaluation=none"])
    assert seen == ["run", "verb", "verb"]


def test_the_number_of_cores_is_known_without_torch():
    code = "import sys, genrun.sweeps.launchers.local as local; assert local.cores() and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_method_without_a_network_has_no_mixed_precision(tmp_path):
    every = [
        "model=nota",
        "data=digits",
        "model.particles=100",
        "hardware.precision=bf16-mixed",
        f"paths.outputs={tmp_path}",
    ]
    with pytest.raises(
        Refused, match=r"hardware.precision=bf16-mixed: nota has no network to compute in it; use 32-true"
    ):
        run(compose(every), every, Console(quiet=True))


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
