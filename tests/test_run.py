"""A run is a function of its configuration."""

from __future__ import annotations


def test_seeds_give_different_runs_and_the_same_seed_the_same(tiny, tmp_path):
    from conftest import outcome

    one, two, again = outcome(tiny()), outcome(tiny("seed=1")), outcome(tiny(outputs=tmp_path / "again"))
    assert (
        one == again
        and one["model.safetensors"] != two["model.safetensors"]
        and one["samples.npz"] != two["samples.npz"]
    )


def test_a_run_in_a_thread_is_the_same_run(tiny, tmp_path):
    from threading import Thread

    from conftest import outcome

    made = []
    thread = Thread(target=lambda: made.append(tiny(outputs=tmp_path / "thread")))
    thread.start()
    thread.join()
    assert outcome(made[0]) == outcome(tiny())
