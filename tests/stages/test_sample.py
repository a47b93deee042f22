"""Drawing the samples: the grid with named rows, and a warning when it takes long."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from PIL import Image

from genrun.figures.grid import image_grid
from genrun.inference import class_grid, grid_names
from genrun.runs.open import open_run
from genrun.stages import sample as stage
from genrun.stages.sample import long_drawing


class Draws:
    """Draws images of one grey for each class."""

    device, image_shape = torch.device("cpu"), (1, 4, 4)

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def sample(self, n, labels=None, *, generator=None):
        grey = torch.zeros(n) if labels is None else labels / max(1, self.num_classes)
        return grey[:, None, None, None].expand(n, *self.image_shape)


@pytest.mark.parametrize(("classes", "rows"), [(0, None), (1, [0]), (3, [0, 1, 2]), (10, range(10)), (37, None)])
def test_every_row_of_the_grid_has_the_name_of_its_class(classes, rows):
    class_names = [f"class {k}" for k in range(classes)]
    names = grid_names(Draws(classes), class_names)
    if not classes:
        assert names is None
        return
    images = class_grid(Draws(classes), 10, seed=0)
    of_rows = (images[::10, 0, 0, 0] * classes).round().int().tolist()
    assert names == [class_names[k] for k in of_rows] and of_rows == sorted(of_rows)
    assert len(names) == min(10, classes) and (rows is None or of_rows == list(rows))
    assert all(len(row.unique()) == 1 for row in images.split(10))


def test_the_final_grid_of_a_conditional_run_names_its_rows(run_folder):
    run = open_run(run_folder.path)
    method = run.method()
    assert method.num_classes == 10
    with Image.open(run_folder.samples / "final.png") as final:
        bare = image_grid(class_grid(method, 10, run.config.seed), 10)
        margin = final.width - bare.width
        assert margin > 12 and final.height == bare.height
        assert np.array_equal(np.asarray(final)[:, margin:], np.asarray(bare))
        assert (np.asarray(final)[:, :margin] < 128).any()  # the names


def test_drawing_that_takes_longer_than_training_is_announced_with_what_makes_it_shorter():
    line = long_drawing(0.3, 10_000, 240)
    assert line == (
        "warning: drawing 10,000 samples will take about 50 min, longer than the training (4 min); sample.n=800 takes about 4 min: "
        "stop with Ctrl-C and give the command with it, the training is kept"
    )
    assert long_drawing(0.3, 10_000, 3001) is None  # training took longer
    assert long_drawing(0.005, 10_000, 1) is None  # under a minute is no matter
    for seconds, trained in (
        (1.0, 0.0),
        (100.0, 30.0),
        (0.0123, 61.0),
    ):  # as many as training took time for, one at least
        n = int(re.search(r"sample\.n=(\d+)", long_drawing(seconds, 10_000, trained))[1])
        assert n == 1 or n * seconds <= trained


def test_the_first_chunk_tells_how_long_all_take_and_it_is_said_once(monkeypatch, capsys):
    from types import SimpleNamespace

    clock = iter(range(0, 10_000, 100))  # a hundred seconds a chunk
    said = []
    monkeypatch.setattr(stage.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(stage, "say", lambda console, line: said.append(line))
    chunks = [(torch.zeros(5, 1, 2, 2), torch.zeros(5))] * 4
    context = SimpleNamespace(
        console=None,
        cfg=SimpleNamespace(sample=SimpleNamespace(n=20)),
        folder=SimpleNamespace(status=lambda: {"training_seconds": 60.0}),
    )
    assert list(stage.timed(iter(chunks), context)) == chunks
    assert len(said) == 1 and "drawing 20 samples will take about 7 min" in said[0] and "sample.n=3 " in said[0]
