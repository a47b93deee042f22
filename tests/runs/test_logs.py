"""What log.txt holds: what a reader of a run wants to know, and each warning once."""

from __future__ import annotations

import io
import logging
import re
import warnings

import pytest
from rich.console import Console

from genrun.runs.folder import RunFolder
from genrun.runs.logs import LogFile, logging_to
from genrun.system.console import say, with_progress


def logged(tmp_path) -> str:
    return (tmp_path / "log.txt").read_text()


def test_a_warning_is_logged_once_and_in_one_line(tmp_path, capsys):
    with logging_to(LogFile(RunFolder(tmp_path))), warnings.catch_warnings():
        warnings.simplefilter("always")
        for step in range(37):
            warnings.warn(f"the value {step / 7} of step {step} is\nodd", stacklevel=1)
            warnings.warn("another", FutureWarning, stacklevel=1)
            logging.getLogger("pytorch_lightning.utilities").warning("lightning warns")
            logging.getLogger("genrun").warning("checkpoint %d is damaged", step // 30)
    lines = logged(tmp_path).splitlines()
    texts = [line.split(" ", 2)[2] for line in lines]
    assert texts[:3] == [
        "WARNING UserWarning: the value 0.0 of step 0 is odd (tests/runs/test_logs.py:" + texts[0].rpartition(":")[2],
        "WARNING FutureWarning: another (tests/runs/test_logs.py:" + texts[1].rpartition(":")[2],
        "WARNING lightning warns",
    ]
    assert texts[3:] == ["WARNING checkpoint 0 is damaged", "WARNING checkpoint 1 is damaged"]  # genrun's own differ
    assert capsys.readouterr() == ("", "")  # nothing of it is on the screen


def test_the_next_attempt_warns_again_and_python_warns_as_before(tmp_path):
    show, levels = warnings.showwarning, [logging.getLogger(name).level for name in ("genrun", "pytorch_lightning")]
    for _ in range(2):
        with logging_to(LogFile(RunFolder(tmp_path))), warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("again", stacklevel=1)
    assert logged(tmp_path).count("again") == 2
    assert warnings.showwarning is show
    assert levels == [logging.getLogger(name).level for name in ("genrun", "pytorch_lightning")]


@pytest.mark.parametrize("terminal", [True, False])
def test_what_a_run_says_is_logged_and_what_lightning_notes_is_not(terminal, tmp_path):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=80)
    with logging_to(LogFile(RunFolder(tmp_path))):
        say(console, "\nein Grüß [red] \udc80 line")
        assert list(with_progress([1, 2], 2, "drawing", console)) == [1, 2]
        logging.getLogger("pytorch_lightning.trainer").info("weights_only was not set")
    texts = [line.split(" ", 2)[2] for line in logged(tmp_path).splitlines()]
    assert texts == ["INFO ein Grüß [red] \\udc80 line", "INFO drawing"]
    say(console, "outside of a run")
    assert "outside" not in logged(tmp_path)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_run_logs_its_command_its_stages_and_its_epochs(terminal, tmp_path):
    from conftest import TINY

    from genrun.config.compose import compose
    from genrun.run import run

    console = Console(file=io.StringIO(), force_terminal=terminal, width=80)
    words = [*TINY, f"paths.outputs={tmp_path}"]
    folder = run(compose(words), words, console)
    text = (folder.path / "log.txt").read_text()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (INFO|WARNING) ", line) for line in text.splitlines())
    order = [
        "genrun model=csgm",
        "run folder",
        "fit: begins",
        "epoch 1/2",
        "epoch 2/2",
        "fit: done in",
        "refit: begins",
    ]
    order += ["sample: begins", "drawing 30 samples", "sample: done", "figures: done", "evaluate: done", "INFO done"]
    places = [text.find(word) for word in order]
    assert -1 not in places and places == sorted(places), (order, text)
    assert re.search(r"epoch 2/2 .*val/score [\d.]+ ", text)
    (folder.path / "results.json").unlink()
    run(compose(words), words, console)
    again = (folder.path / "log.txt").read_text()[len(text) :]
    assert "fit: done before" in again and "evaluate: done in" in again and "epoch 1" not in again


def test_a_message_of_any_characters_is_appended_and_cannot_command_a_terminal(tmp_path):
    (tmp_path / "log.txt").write_text("before\n")
    with logging_to(LogFile(RunFolder(tmp_path))):
        logging.getLogger("genrun").warning("Fréchet \x1b[31m \udcff\nsecond line")
    before, first, second = (tmp_path / "log.txt").read_text(encoding="utf-8").splitlines()
    assert before == "before" and first.endswith(r"WARNING Fréchet \x1b[31m \udcff") and second == "second line"
