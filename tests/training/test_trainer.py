"""What the trainer logs, with the real loggers."""

from __future__ import annotations

import json
import os

import pytest
import torch
from conftest import TINY
from pytorch_lightning.callbacks import Callback, LambdaCallback
from rich.console import Console

from genrun.config.compose import compose
from genrun.run import run
from genrun.runs.folder import RunFolder


def check_pictures(steps: dict[str, list[int]], logged: list[int]) -> None:
    """Check the steps of the pictures against those at which the metrics of the epochs were logged."""
    assert steps == {"samples/epochs": logged, "samples/final": logged[-1:]}


def test_tensorboard_is_written_beside_with_grids_and_results(tiny):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = tiny("logger=tensorboard")
    events = EventAccumulator(str(folder.path / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    logged = events.Scalars("train/g")
    assert [event.value for event in logged] == pytest.approx([row["train/g"] for row in folder.metrics()])
    names = events.Tags()["images"]
    check_pictures(
        {name: [event.step for event in events.Images(name)] for name in names}, [event.step for event in logged]
    )
    values = {row["name"]: row["value"] for row in folder.results()["rows"]}
    assert events.Scalars("results/parameters")[0].value == values["parameters"]
    (text,) = events.Tensors("results/table/text_summary")
    assert b"| **cost** |" in text.tensor_proto.string_val[0]


def test_wandb_gets_grids_and_results(tiny, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    folder = tiny("logger=wandb", "logger.wandb.offline=true")
    assert wandb.run is None  # it is finished, so that another run of this process gets its own
    (files,) = (folder.path / "wandb").glob("offline-run-*/files/media")
    pictures = sorted(path.name.partition("_")[0] for path in (files / "images/samples").glob("*.png"))
    assert pictures == ["epochs", "epochs", "final"]
    (table,) = (files / "table/results").glob("*.json")
    assert "parameters" in [line[0] for line in json.loads(table.read_text())["data"]]


def test_mlflow_gets_grids_and_results(tiny, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    folder: RunFolder = tiny("logger=mlflow")
    (run,) = [path.parent for path in (folder.path / "mlflow").glob("*/*/artifacts")]
    pictures = [path.name.split("+")[:3] for path in (run / "artifacts/images").glob("*.png")]
    steps: dict[str, list[int]] = {}
    for name, _, step in pictures:
        steps.setdefault(name.replace("~", "/"), []).append(int(step))
    logged = [int(line.split()[2]) for line in (run / "metrics/train/g").read_text().splitlines()]
    check_pictures({name: sorted(each) for name, each in steps.items()}, logged)
    assert (run / "artifacts/results.md").read_text().startswith("# csgm on digits")
    assert (run / "metrics/results/parameters").is_file()


@pytest.mark.skipif(
    torch.cuda.is_available() or not torch.backends.cuda.is_built(),
    reason="a machine without a GPU is meant, with a torch that looks for one",
)
def test_without_a_gpu_no_step_looks_for_the_library_of_one(tiny, monkeypatch):
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # Lightning sets it when it is imported

    def counted() -> int:
        counted.calls += 1
        return -1

    counted.calls = 0
    monkeypatch.setattr(torch.cuda, "_device_count_nvml", counted)
    tiny("data.limit=300", "data.batch_size=10", "trainer.max_epochs=1")
    assert counted.calls < 10  # of the start, not one for each of the steps
    assert os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] == "1"


def test_hooks_of_a_step_that_do_nothing_are_left_out(tmp_path):
    class Counting(Callback):
        steps = 0

        def on_train_batch_end(self, *_):
            self.steps += 1

    started = []
    counting, given = Counting(), LambdaCallback(on_train_batch_start=lambda *_: started.append(1))
    every = [*TINY, f"paths.outputs={tmp_path}"]
    run(compose(every), every, Console(quiet=True), callbacks=[counting, given])
    assert counting.on_before_backward is None and counting.on_train_batch_start is None
    assert callable(given.on_train_batch_start) and given.on_after_backward is None
    assert counting.steps == len(started) > 0
