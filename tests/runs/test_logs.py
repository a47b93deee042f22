"""log.txt takes every text, and what it holds can be shown on a terminal."""

from __future__ import annotations

import logging

from genrun.runs.folder import RunFolder
from genrun.runs.logs import LogFile, logging_to


def test_a_message_of_any_characters_is_appended_and_cannot_command_a_terminal(tmp_path):
    (tmp_path / "log.txt").write_text("before\n")
    with logging_to(LogFile(RunFolder(tmp_path))):
        logging.getLogger("genrun").warning("Fréchet \x1b[31m \udcff\nsecond line")
    before, first, second = (tmp_path / "log.txt").read_text(encoding="utf-8").splitlines()
    assert before == "before" and first.endswith(r"WARNING genrun: Fréchet \x1b[31m \udcff") and second == "second line"
