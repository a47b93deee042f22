"""A folder is one process's alone."""

from __future__ import annotations

import os

from genrun.runs.folder import RunFolder


def test_a_lock_is_held_for_its_life_and_a_forked_child_lets_go(tmp_path):
    folder = RunFolder(tmp_path / "run")
    (ready, say_ready), (go_on, tell) = os.pipe(), os.pipe()
    with folder.lock():
        child = os.fork()
        if child == 0:  # lives on until told; must not hold the lock
            os.close(tell)
            os.write(say_ready, b"!")
            os.read(go_on, 1)
            os._exit(0)
        os.read(ready, 1)
    with folder.lock():  # the child is alive
        assert f"process {os.getpid()}" in (folder.path / ".lock").read_text()
    os.close(tell)
    os.waitpid(child, 0)
