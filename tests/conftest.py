"""Tiny real runs, in this process or another, and other things that tests of several rooms share."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from sklearn.datasets import load_digits

from genrun import cli
from genrun.config.compose import compose
from genrun.run import run
from genrun.runs.folder import RunFolder

ROOT = Path(__file__).parents[1]
os.environ.setdefault("GENRUN_DATA", str((ROOT / "../shared/data").resolve()))

# CSGM on digits, small enough for a second or two; only the cost is judged
TINY = (
    "model=csgm",
    "model/prior=gaussian_unscaled",
    "data=digits",
    "data.limit=200",
    "data.passes=1",
    "data.batch_size=32",
    "model.pixels=8",
    "model.hidden=[24,16]",
    "model.basis=16",
    "model.place_hidden=[16]",
    "trainer.max_epochs=2",
    "sample.n=30",
    "evaluation=none",
    "run.figures=false",
)
# The least autoencoder, whose prior can be another afterwards
TINY_AUTOENCODER = (
    "model=autoencoder",
    "model/encoder=mlp",
    "model/decoder=mlp",
    "model.encoder.hidden=[16]",
    "model.decoder.hidden=[16]",
    "model.code_size=4",
    "data=digits",
    "data.limit=400",
    "data.passes=1",
    "trainer.max_epochs=2",
    "sample.n=30",
    "evaluation=none",
    "run.figures=false",
)
# What makes judging short, and a tiny run that is judged in full
SHORT = (
    *("evaluation.classifier.steps=150", "evaluation.classifier.network.width=6", "evaluation.train_on_generated=60"),
    *("evaluation.observer.steps=60", "evaluation.observer.network.width=6"),
)
QUICK = ("data.limit=null", "sample.n=200", *SHORT, "evaluation.epoch_samples=150")
GENRUN = [sys.executable, "-m", "genrun"]


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Path:
    """A folder for all processes of a test session."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


def run_once(folder: Path, *every: str) -> RunFolder:
    """Do a run in a folder of `shared`: the first process that needs it trains, the others wait and find it done."""
    folder.mkdir(exist_ok=True)
    every = (*every, f"paths.outputs={folder / 'outputs'}")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return run(compose([*every]), [*every], Console(quiet=True))


@pytest.fixture(autouse=True, scope="session")
def cache(shared) -> Path:
    """Facts and classifiers of a test session go to a folder of its own."""
    folder = shared / "cache"
    os.environ["GENRUN_CACHE"] = str(folder)
    return folder


@pytest.fixture(autouse=True, scope="session")
def no_wait_for_the_disk():
    """The files of a test need not survive a power cut: a tiny run would wait some seventy times for the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(autouse=True)
def torch_as_it_was():
    """A run sets deterministic algorithms for its process; a test must not find them set."""
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def tiny(tmp_path):
    """Run TINY with further overrides, in this process: overrides → its folder."""

    def start(*overrides: str, outputs: Path | None = None) -> RunFolder:
        every = [*TINY, f"paths.outputs={outputs or tmp_path / 'outputs'}", *overrides]
        return run(compose(every), every, Console(quiet=True))

    return start


def command(*arguments: str, **options) -> subprocess.Popen:
    """`genrun` in a process of its own."""
    return subprocess.Popen(
        [*GENRUN, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def outcome(folder: RunFolder) -> dict[str, bytes]:
    """What must not depend on how often a run was interrupted."""
    return {name: (folder.path / name).read_bytes() for name in ("model.safetensors", "metrics.csv", "samples.npz")}


def genrun(*arguments: str, monkeypatch) -> int:
    """The command line in this process: its exit status."""
    monkeypatch.setattr(sys, "argv", ["genrun", *arguments])
    return cli.command()


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty working folder with some broken files in it."""
    monkeypatch.chdir(tmp_path)
    Path("a_file").write_text("not a folder\n")
    Path("a_file.npz").write_text("hello\n")
    Path("empty_folder").mkdir()
    np.savez("no_images.npz", labels=np.zeros(3, np.int64))
    np.savez("floats.npz", images=np.zeros((3, 8, 8), np.float32))
    np.savez("labels.npz", images=np.zeros((30, 8, 8), np.uint8), labels=np.zeros(29, np.int64))
    Path("pictures").mkdir()
    for side in range(8, 28):
        Image.new("L", (side, side)).save(f"pictures/{side}.png")
    Path("cut/MNIST/raw").mkdir(parents=True)
    Path("foreign/MNIST/raw").mkdir(parents=True)
    names = [f"{split}-{kind}-ubyte" for split in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    for name in names:
        Path("cut/MNIST/raw", name).write_bytes(bytes([0, 0, 8, 3 if "images" in name else 1]) + b"\0\0\0\5" * 3)
        Path("foreign/MNIST/raw", name).write_bytes(b"a text that is no idx file at all")
    return tmp_path


@pytest.fixture(scope="session")
def finished(shared) -> Path:
    """A finished tiny run."""
    return run_once(shared / "finished", *TINY, "run.name=it").path


@pytest.fixture(scope="session")
def digits():
    return torch.tensor(load_digits().images[:40] / 16, dtype=torch.float32)[:, None]  # (40, 1, 8, 8)


@pytest.fixture(scope="session")
def shapes(tmp_path_factory) -> Path:
    """Three classes of 8×8 grey images: a soft spot in its class's row, anywhere along it, of any strength and width."""
    folder, generator = tmp_path_factory.mktemp("shapes"), np.random.default_rng(0)
    down, across = np.mgrid[:8, :8]
    for split, n in (("train", 2700), ("test", 700)):
        labels = np.arange(n) % 3
        place, width = generator.uniform(1, 6, (n, 1, 1)), generator.uniform(0.6, 1.6, (n, 1, 1))
        row = 1.5 + 2.3 * labels[:, None, None] + generator.normal(0, 0.3, (n, 1, 1))
        spots = np.exp(-((down - row) ** 2 + (across - place) ** 2) / 2 / width**2) * generator.uniform(
            0.5, 1, (n, 1, 1)
        )
        np.savez(folder / f"{split}.npz", images=(spots * 255).round().astype(np.uint8), labels=labels)
    return folder


@pytest.fixture(scope="session")
def judged_run(shared) -> RunFolder:
    """A finished tiny run that was judged in full."""
    return run_once(shared / "judged", *TINY, "evaluation=full", *QUICK, "run.figures=true")


@pytest.fixture(scope="module")
def run_folder(judged_run, tmp_path_factory) -> RunFolder:
    """The run that was judged in full, for a file of tests to do with as it likes."""
    folder = tmp_path_factory.mktemp("judged") / judged_run.path.name
    shutil.copytree(judged_run.path, folder)
    return RunFolder(folder)
