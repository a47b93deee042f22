"""What is watched at an epoch's end does not move the result."""

from __future__ import annotations

from conftest import QUICK, TINY_AUTOENCODER
from rich.console import Console
from safetensors.torch import load_file

from genrun.callbacks.epochs import EpochWatcher
from genrun.config.compose import compose
from genrun.run import run


def test_the_watchers_do_not_move_the_result(tiny, tmp_path):
    from conftest import outcome

    watched, alone = tiny(), tiny("callbacks=none", outputs=tmp_path / "alone")
    assert outcome(watched) == outcome(alone)
    assert len(list(watched.samples.glob("epoch_*.png"))) == 2 and not list(alone.samples.glob("epoch_*.png"))


def test_each_epoch_adds_a_cheap_look_and_it_does_not_move_the_result(run_folder, tiny):
    rows = run_folder.metrics()
    assert [row["epoch"] for row in rows] == [1, 2]
    for row in rows:
        assert {"judge/label_accuracy", "judge/class_entropy", "judge/frechet", "judge/kernel"} <= row.keys()
    plain = tiny(*(word for word in QUICK if "evaluation." not in word))
    assert plain.weights.read_bytes() == run_folder.weights.read_bytes()
    assert "judge/frechet" not in plain.metrics()[0]


def test_epochs_that_are_passed_over_have_no_look(tiny):
    few = ("evaluation=quick", *QUICK)
    folder = tiny(*few, "trainer.max_epochs=4", "evaluation.epoch_every=3")
    assert [("judge/frechet" in row) for row in folder.metrics()] == [True, False, True, True]


class Keeping(EpochWatcher):
    """A watcher that keeps a copy of one weight."""

    def __init__(self, name):
        super().__init__()
        self.name, self.kept = name, []

    def observe(self, method, epoch):
        self.kept.append(method.state_dict()[self.name].clone())


def test_without_a_validation_the_averaged_weights_are_watched(tmp_path):
    words = ["model=flow_matching", "model.network.widths=[8,16]", "data=digits", "data.limit=40", "sample.n=2"]
    words += ["trainer.max_epochs=2", "trainer.limit_val_batches=0", "evaluation=none", "callbacks.watching={}"]
    words += ["run.figures=false", "hardware.precision=32-true", f"paths.outputs={tmp_path}"]
    name = "network.stem.weight"
    watcher = Keeping(name)
    folder = run(compose(words), words, Console(quiet=True), callbacks=[watcher])
    assert len(watcher.kept) == 2 and not watcher.kept[0].equal(watcher.kept[1])
    assert watcher.kept[1].equal(load_file(folder.weights)[name])  # the average, which the last weights become


def test_without_a_validation_the_prior_is_fitted_for_the_grid(tmp_path):
    words = [
        *TINY_AUTOENCODER,
        "model/prior=gaussian",
        "data.validation=0",
        "trainer.max_epochs=1",
        f"paths.outputs={tmp_path}",
    ]
    watcher = Keeping("prior.means")
    run(compose(words), words, Console(quiet=True), callbacks=[watcher])
    assert watcher.kept[0].any()
