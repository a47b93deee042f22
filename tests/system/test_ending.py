"""A process that ends at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import atexit, logging, sys, threading, time
from genrun.system.ending import end_at_once
class Late:
    def __del__(self): print("taken apart", flush=True)
late = Late()
end_at_once(lambda: 7)
atexit.register(print, "registered later")
class Handler(logging.Handler):
    def flush(self): print("log is flushed")
handler = Handler()
threading.Thread(target=lambda: (time.sleep(0.1), print("thread has ended"))).start()
print("not flushed yet", end=" ")
{end}
"""


@pytest.mark.parametrize("end", ["sys.exit(3)", "", "raise ValueError"])
def test_all_is_done_but_taking_the_modules_apart(end):
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(end=end)], capture_output=True, text=True)
    assert done.returncode == 7 and ("ValueError" in done.stderr) == ("ValueError" in end)
    assert done.stdout == "not flushed yet thread has ended\nregistered later\nlog is flushed\n"
