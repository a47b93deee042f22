"""A tiny real run, in this process or another, that every test of the runner shares."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console

from genrun.config.compose import compose
from genrun.run import run
from genrun.runs.folder import RunFolder

ROOT = Path(__file__).parents[1]
os.environ.setdefault("GENRUN_DATA", str((ROOT / "../shared/data").resolve()))

# CSGM on digits, small enough for a second or two; only the cost is judged
TINY = (
    "model=csgm",
    "data=digits",
    "data.limit=200",
    "data.passes=1",
    "data.batch_size=32",
    "model.pixels=8",
    "model.hidden=[24,16]",
    "trainer.max_epochs=2",
    "sample.n=30",
    "evaluation=none",
)


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory) -> Path:
    """Facts and classifiers of a test session go to a folder of its own."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["GENRUN_CACHE"] = str(folder)
    return folder


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
        [sys.executable, "-m", "genrun", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def outcome(folder: RunFolder) -> dict[str, bytes]:
    """What must not depend on how often a run was interrupted."""
    return {name: (folder.path / name).read_bytes() for name in ("model.safetensors", "metrics.csv", "samples.npz")}
