"""What loggers get, by what they can show, and that none of them stops a run."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pytorch_lightning.loggers import Logger
from rich.console import Console

from genrun.callbacks.loggers import RunLoggers, tag

RESULTS = {
    "title": "vae on mnist, 1",
    "rows": [
        {"name": "Fréchet distance (observer)", "value": 0.7, "floor": 0.03, "best": "low", "note": ""},
        {"name": "parameters", "value": 12, "note": ""},
        {"name": "other", "value": None, "note": "not here"},
        {"name": "word", "value": "text", "note": ""},
    ],
}
NUMBERS = {"results/Frechet_distance_observer": 0.7, "results/parameters": 12.0}


class Numbers(Logger):
    """A logger of numbers only, which keeps what it gets."""

    def __init__(self, **_: Any) -> None:
        super().__init__()
        self.got: list[tuple] = []
        self.experiment = SimpleNamespace()

    name, version = "mine", "0"

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.got.append(("numbers", metrics, step))

    def log_hyperparams(self, *_: Any, **__: Any) -> None: ...

    def finalize(self, status: str) -> None:
        self.got.append(("end", status))


class LikeWandb(Numbers):
    """With the methods of WandbLogger and its run."""

    def __init__(self) -> None:
        super().__init__()
        self.experiment = SimpleNamespace(finish=lambda: self.got.append(("finish",)))

    def log_image(self, key: str, images: list[Any], step: int | None = None) -> None:
        self.got.append(("image", key, images[0].size, step))

    def log_table(self, key: str, columns: list[str], data: list[list[Any]], step: int | None = None) -> None:
        assert all(len(line) == len(columns) for line in data)
        self.got.append(("table", key, columns, len(data), step))


class LikeMlflow(Numbers):
    """With the run_id of MLFlowLogger and the methods of its MlflowClient."""

    run_id = "r1"

    def __init__(self) -> None:
        super().__init__()

        def log_image(run_id: str, image: np.ndarray, *, key: str, step: int) -> None:
            self.got.append(("image", run_id, image.shape, image.dtype, key, step))

        def log_text(run_id: str, text: str, artifact_file: str) -> None:
            self.got.append(("text", run_id, text.splitlines()[0], artifact_file))

        self.experiment = SimpleNamespace(log_image=log_image, log_text=log_text)


class Failing(Numbers):
    """It cannot do anything."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        raise OSError("no space left for numbers")

    def finalize(self, status: str) -> None:
        raise RuntimeError("cannot end")


class NotStarting(Failing):
    """Its experiment cannot be made, as that of W&B where nobody logged in."""

    def __init__(self, **_: Any) -> None:
        Logger.__init__(self)

    @property
    def experiment(self) -> Any:
        raise PermissionError("log in\nfirst")


def png(width: int = 6, height: int = 4) -> bytes:
    file = io.BytesIO()
    Image.new("L", (width, height), 200).save(file, "PNG")
    return file.getvalue()


def given(*loggers: Logger) -> tuple[RunLoggers, list[str]]:
    """Give everything to loggers; return them and the lines on the screen."""
    console = Console(width=300, file=io.StringIO())
    all_of_them = RunLoggers(loggers, console)
    all_of_them.start()
    all_of_them.picture("samples/epochs", png(), 7)
    all_of_them.results(RESULTS, 9)
    all_of_them.close()
    return all_of_them, console.file.getvalue().splitlines()


def test_a_logger_gets_what_it_can_show():
    loggers = Numbers(), LikeWandb(), LikeMlflow()
    assert given(*loggers)[1] == []
    numbers, wandb, mlflow = (logger.got for logger in loggers)
    assert numbers == [("numbers", NUMBERS, 9), ("end", "success")]
    assert wandb == [
        ("image", "samples/epochs", (6, 4), 7),
        ("numbers", NUMBERS, 9),
        ("table", "results/table", ["metric", "value", "real", "mark", "notes"], 4, 9),
        ("end", "success"),
        ("finish",),
    ]
    assert mlflow == [
        ("image", "r1", (4, 6, 3), np.uint8, "samples/epochs", 7),
        ("numbers", NUMBERS, 9),
        ("text", "r1", "# vae on mnist, 1", "results.md"),
        ("end", "success"),
    ]


def test_a_failure_is_one_line_and_the_others_go_on():
    working = Numbers()
    left, said = given(NotStarting(), Failing(), working)
    assert left.loggers == [working] and working.got[-1] == ("end", "success")
    assert said == [
        "warning: NotStarting failed and gets nothing more; the run goes on: log in first",
        "warning: Failing failed and gets nothing more; the run goes on: no space left for numbers",
    ]


def test_loggers_that_fail_leave_the_run_as_it_is(tiny, tmp_path):
    plain = tiny(outputs=tmp_path / "plain")
    bad = [f"+logger.{name}._target_={__name__}.{name}" for name in ("Failing", "NotStarting")]
    folder = tiny(*bad, outputs=tmp_path / "bad")
    assert folder.status()["state"] == "done" and folder.status()["id"] == plain.status()["id"]
    assert folder.weights.read_bytes() == plain.weights.read_bytes()
    warned = [line for line in (folder.path / "log.txt").read_text().splitlines() if "gets nothing more" in line]
    assert len(warned) == 2 and "NotStarting failed" in warned[0] and "Failing failed" in warned[1]


def test_a_run_that_fails_ends_what_has_begun():
    logger = LikeWandb()
    loggers = RunLoggers([logger], Console(quiet=True))
    loggers.close("failed")
    assert logger.got == []
    loggers.start()
    loggers.close("failed")
    assert logger.got == [("end", "failed"), ("finish",)]


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit])
def test_a_signal_goes_through(signal):
    class Stopped(Numbers):
        def log_metrics(self, metrics, step=None):
            raise signal

    with pytest.raises(signal):
        given(Stopped())


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("Fréchet distance to training (classifier, binarised)", "Frechet_distance_to_training_classifier_binarised"),
        ("copying statistic C_T", "copying_statistic_C_T"),
        ("log-likelihood, bound by 5,000 samples, nats", "log-likelihood_bound_by_5_000_samples_nats"),
        ("a/b <script>", "a_b_script"),
    ],
)
def test_names_are_those_that_every_logger_takes(metric, expected):
    assert tag(metric) == expected
