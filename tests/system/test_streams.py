"""Output that cannot be shown stops no work, and no error of Python's is seen."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# What the command line does with its streams, without what it imports
SCRIPT = """
import sys
from genrun.system.streams import lost_output, open_streams
streams = open_streams()
for _ in range(3000):
    print("Fréchet ± 1 \\ud800", "–" * 20)
print("worked", file=sys.stderr)
if lost := lost_output(streams):
    print(lost, file=sys.stderr)
"""


def shell(redirection: str, **environment: str) -> subprocess.CompletedProcess:
    line = f'"{sys.executable}" -c "$SCRIPT" {redirection}'
    every = os.environ | {"SCRIPT": SCRIPT} | environment
    return subprocess.run(["bash", "-c", line], capture_output=True, check=False, env=every, timeout=60)


@pytest.mark.parametrize("redirection", [">&-", ">&- <&-", "| head -1 >/dev/null; exit ${PIPESTATUS[0]}"])
def test_a_stdout_that_is_closed_or_whose_reader_has_gone_is_no_failure(redirection):
    done = shell(redirection)
    assert (done.returncode, done.stderr) == (0, b"worked\n")


def test_a_full_disk_behind_stdout_is_said_in_one_line():
    done = shell("> /dev/full")
    assert done.returncode == 0
    assert done.stderr == b"worked\nsome output could not be written: No space left on device\n"


@pytest.mark.parametrize("redirection", ["2>&-", ">&- 2>&-", "2>/dev/full"])
def test_a_stderr_that_cannot_be_written_is_no_failure(redirection):
    done = shell(redirection)
    assert done.returncode == 0 and b"worked" not in done.stdout


@pytest.mark.parametrize(
    ("encoding", "shown"), [("ascii", b"Fr?chet ? 1 ?"), ("latin-1", "Fréchet ± 1 ?".encode("latin-1"))]
)
def test_a_terminal_that_lacks_characters_shows_others(encoding, shown):
    done = shell("", PYTHONIOENCODING=encoding)
    assert done.returncode == 0 and done.stdout.startswith(shown) and done.stderr == b"worked\n"


def test_a_file_that_is_opened_next_does_not_become_a_closed_stdout(tmp_path):
    script = (
        "from genrun.system.streams import open_streams\nopen_streams()\n"
        f"import os\nfile = open({str(tmp_path / 'file')!r}, 'w')\nassert file.fileno() > 2\nos.write(1, b'from a library')\n"
    )
    subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -c "$SCRIPT" >&-'], check=True, env=os.environ | {"SCRIPT": script}
    )
    assert (tmp_path / "file").read_bytes() == b""
