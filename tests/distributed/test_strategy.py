"""Several processes share each batch, and come to what one comes to."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from pathlib import Path

import pytest
import torch
from conftest import command, outcome
from rich.console import Console
from safetensors.torch import load_file

from genrun.config.compose import compose
from genrun.errors import Failed, Interrupted, NotFinite, Refused
from genrun.run import run
from genrun.runs.folder import RunFolder

TWO = "hardware.devices=2"
# 101 images in batches of 25: the last one has a single image, which is one process's alone
VAE = (
    "model=vae",
    "data=digits",
    "data.limit=101",
    "data.passes=1",
    "data.batch_size=25",
    "model/encoder=mlp",
    "model/decoder=mlp",
    "model.prior.components=1",
    "hardware=cpu",
    "hardware.precision=32-true",
    "trainer.max_epochs=2",
    "trainer.limit_val_batches=1.0",
    "sample.n=10",
    "evaluation=none",
)


def start(outputs: Path, *overrides: str) -> RunFolder:
    every = [*VAE, *overrides, f"paths.outputs={outputs}"]
    return run(compose(every), every, Console(quiet=True))


def close(one: RunFolder, other: RunFolder, rtol: float = 1e-4, atol: float = 1e-5) -> None:
    """Weights and metrics of two runs are the same but for the order of sums."""
    theirs = load_file(other.weights)
    for name, weight in load_file(one.weights).items():
        if not name.startswith("prior."):
            torch.testing.assert_close(
                weight, theirs[name], rtol=rtol, atol=atol, msg=lambda text, name=name: f"{name}: {text}"
            )
    for mine, rows in zip(one.metrics(), other.metrics(), strict=True):
        assert mine == pytest.approx(rows, rel=rtol)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same run by two processes."""
    return start(tmp_path_factory.mktemp("both"), TWO)


def test_two_processes_train_what_one_trains(both, tmp_path):
    alone = start(tmp_path)
    close(both, alone)
    assert both.path.name == alone.path.name and both.status()["step"] == alone.status()["step"] == 10

    def files(folder: RunFolder) -> set[str]:
        return {str(path.relative_to(folder.path)) for path in folder.path.rglob("*")}

    assert files(both) == files(alone)  # one run folder, of the same files
    machine = json.loads((both.path / "provenance.json").read_text())["machine"]
    assert machine["devices"] == 2
    assert not torch.distributed.is_initialized()


def ends(rank: int, mark: Path, signum: int) -> list[str]:
    node = "+callbacks.training.ends"
    return [
        f"{node}._target_=helpers.callbacks.Ends",
        f"{node}.rank={rank}",
        f"{node}.mark={mark}",
        f"{node}.signum={int(signum)}",
    ]


def test_stopped_in_the_middle_of_an_epoch_both_stop_there_and_go_on_to_the_same_end(both, tmp_path):
    arguments = (TWO, *ends(0, tmp_path / "mark", signal.SIGTERM))
    with pytest.raises(Interrupted):
        start(tmp_path, *arguments)
    (path,) = (tmp_path / "vae-digits").iterdir()
    folder = RunFolder(path)
    assert folder.status()["state"] == "interrupted" and folder.status()["epoch"] == 1
    done = torch.load(folder.last, weights_only=True)["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]
    assert done["processed"] == 2
    resumed = start(tmp_path, *arguments)
    assert outcome(resumed) == outcome(both)


@pytest.mark.slow
def test_it_goes_on_with_another_number_of_processes_and_says_so(both, tmp_path):
    arguments = ends(0, tmp_path / "mark", signal.SIGTERM)
    with pytest.raises(Interrupted):
        start(tmp_path, TWO, *arguments)
    resumed = start(tmp_path, *arguments)
    close(resumed, both)
    assert "devices changed since this run began" in (resumed.path / "log.txt").read_text()


def test_a_process_that_dies_ends_the_run_in_a_line(tmp_path):
    began = time.monotonic()
    with pytest.raises(
        Failed, match=r"process 1 of the training ended by signal 9; .* goes on from the last checkpoint"
    ):
        start(tmp_path, TWO, *ends(1, tmp_path / "mark", signal.SIGKILL))
    assert time.monotonic() - began < 120
    assert not torch.distributed.is_initialized()


@pytest.mark.slow
def test_two_processes_with_workers_that_decode(both, tmp_path):
    close(start(tmp_path, TWO, "data.memory_limit=0", "data.resize=8", "data.workers=1"), both)


@pytest.mark.slow
def test_killed_the_first_process_takes_the_others_along(tmp_path):
    process = command(*VAE, TWO, "trainer.max_epochs=100000", f"paths.outputs={tmp_path}")

    def others() -> list[str]:
        found = []
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):  # it ended meanwhile
                found.append(file.read_bytes().decode(errors="replace"))
        return [words for words in found if "genrun.training.worker" in words and str(tmp_path) in words]

    limit = time.monotonic() + 120
    while not list(tmp_path.glob("vae-digits/*/checkpoints/last.ckpt")):
        assert process.poll() is None and time.monotonic() < limit, process.stderr.read()
        time.sleep(0.2)
    assert len(others()) == 1
    process.kill()
    process.wait()
    limit = time.monotonic() + 30
    while others() and time.monotonic() < limit:
        time.sleep(0.2)
    assert not others()


@pytest.mark.slow
def test_what_is_not_finite_stops_all_of_them_with_its_name(tmp_path):
    with pytest.raises(NotFinite, match=r"loss term '\w+' became (NaN|infinite) in epoch 1"):
        start(tmp_path, TWO, "model.optimizer.lr=1e30")


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ("model=autoencoder", "model/prior=gaussian", "model.decorrelation=0.01", "model.sparsity=0.1", "data.limit=301"),
        ("model=autoencoder", "model/prior=gaussian", "+callbacks.training.ema.decay=0.9",
         "+callbacks.training.ema._target_=pytorch_lightning.callbacks.EMAWeightAveraging", "data.limit=301"),
        ("trainer.accumulate_grad_batches=2", "trainer.gradient_clip_val=0.1"),
        ("data.augment.flip=true", "data.augment.shift=1"),
    ],
    ids=["terms of the whole batch", "averaged weights", "accumulated and clipped", "augmented"],
)  # fmt: skip
def test_other_trainings_by_two_processes(overrides, tmp_path):
    exact = (*overrides, "hardware.precision=64-true", "model.optimizer.fused=false")
    close(start(tmp_path / "two", *exact, TWO), start(tmp_path / "one", *exact), rtol=1e-6, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["ddpm", "flow_matching"])
def test_denoisers_by_two_processes(model, tmp_path):
    """With Adam: Muon rounds its steps to 16 bits, and a difference in the last bit of 32 becomes one of 16."""
    arguments = [f"model={model}", "data=digits", "data.limit=61", "data.passes=1", "data.batch_size=20", "hardware=cpu",
                 "hardware.precision=64-true", "model.conditional=true", "~model.optimizer.adam_lr", "~model.optimizer.adam_betas",
                 "model.optimizer._target_=torch.optim.Adam", "model.optimizer.lr=0.001", "trainer.max_epochs=1", "sample.n=2",
                 "evaluation=none", "callbacks.watching={}"]  # fmt: skip

    def trained(*more: str) -> RunFolder:
        every = [*arguments, *more]
        return run(compose(every), every, Console(quiet=True))

    one, two = trained(f"paths.outputs={tmp_path / 'one'}"), trained(f"paths.outputs={tmp_path / 'two'}", TWO)
    close(two, one, rtol=1e-6, atol=1e-7)


# -------------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (("model=csgm",), r"hardware.devices=2: CSGM keeps a code for each training image.*hardware.devices=1"),
        (("model=gan",), r"hardware.devices=2: GAN steps by itself"),
        (("model=rbm",), r"hardware.devices=2: RBM steps by itself"),
        (("model=vae", "model/encoder=mlp", "model.encoder.dropout=0.1"), r"VAE has a network with dropout"),
        (("model=vae", "model.decoder.batch_norm=true"), r"vae normalises over the batch, .* only on GPUs"),
        (("model=vae", "data.batch_size=1"), r"expected data.batch_size of at least 2, an image for each, got 1"),
    ],
)
def test_what_cannot_be_shared_is_refused_before_anything_is_written(overrides, line, tmp_path):
    every = ["data=digits", "hardware=cpu", TWO, *overrides, f"paths.outputs={tmp_path / 'outputs'}", "evaluation=none"]
    with pytest.raises(Refused, match=line):
        run(compose(every), every, Console(quiet=True))
    assert not (tmp_path / "outputs").exists()
