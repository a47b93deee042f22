"""A run is a function of its configuration."""

from __future__ import annotations

import io

from conftest import TINY
from rich.console import Console

from genrun.config.compose import compose
from genrun.run import run


def test_seeds_give_different_runs_and_the_same_seed_the_same(tiny, tmp_path):
    from conftest import outcome

    one, two, again = outcome(tiny()), outcome(tiny("seed=1")), outcome(tiny(outputs=tmp_path / "again"))
    assert (
        one == again
        and one["model.safetensors"] != two["model.safetensors"]
        and one["samples.npz"] != two["samples.npz"]
    )


def test_the_first_line_says_what_was_read_and_so_does_the_log(tmp_path):
    words = [*TINY, "data.classes=[3,5]", "model.num_classes=0", f"paths.outputs={tmp_path}"]
    screen = Console(file=io.StringIO(), width=80)
    folder = run(compose(words), words, screen)
    first, second, *_ = screen.file.getvalue().splitlines()
    assert first.startswith("data digits: ") and "2 classes: 3 " in first and second.startswith("run folder")
    assert first in (folder.path / "log.txt").read_text()


def test_a_run_in_a_thread_is_the_same_run(tiny, tmp_path):
    from threading import Thread

    from conftest import outcome

    made = []
    thread = Thread(target=lambda: made.append(tiny(outputs=tmp_path / "thread")))
    thread.start()
    thread.join()
    assert outcome(made[0]) == outcome(tiny())
