"""What is watched at an epoch's end does not move the result."""

from __future__ import annotations

from conftest import QUICK


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
