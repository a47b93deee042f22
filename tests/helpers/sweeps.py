"""Sweeps in processes of their own, and what they leave."""

from __future__ import annotations

import json
import time
from pathlib import Path

from conftest import TINY, command


def sweep(here: Path, *overrides: str, tiny=TINY, **options):
    """A sweep in a process group of its own: its process."""
    return command("-m", *tiny, *overrides, cwd=here, start_new_session=True, **options)


def finished(process) -> str:
    """What it printed, once it ended."""
    printed, error = process.communicate(timeout=300)
    assert not error, error
    return printed


def jobs_of(here: Path, name: str) -> list[dict]:
    return json.loads((here / f"outputs/sweeps/{name}/results.json").read_text())["jobs"]


def until(there, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end
        time.sleep(0.1)


def fake(folder: Path, name: str, text: str) -> None:
    """A command of that name that notes how it was called."""
    folder.mkdir(exist_ok=True)
    script = folder / name
    script.write_text(f'#!/bin/sh\necho "$@" >> {folder}/{name}.calls\n{text}\n')
    script.chmod(0o755)
