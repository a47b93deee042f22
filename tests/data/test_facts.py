"""The cache of facts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial

import pytest
from data_files import write_image

from genrun.data import facts, folders
from genrun.data.module import ImageData
from genrun.types import Facts


def test_facts_are_recalled_while_the_files_are_the_same(tmp_path):
    file, cache = tmp_path / "a.npz", tmp_path / "cache"
    file.write_bytes(b"one")
    known = Facts((3, 4, 4), 2, ("a", "b"), 7, "sum")
    config = {"name": "npz", "batch_size": 5, "seed": 1, "facts": {"num_classes": "???"}}
    assert facts.recall(config, cache) is None
    facts.remember(config, known, [file], cache)
    assert facts.recall(config, cache) == known
    assert facts.recall({**config, "seed": 2, "facts": known.to_dict()}, cache) == known
    assert facts.recall({**config, "limit": 6}, cache) is None
    os.utime(file, ns=(1, 1))
    assert facts.recall(config, cache) is None
    facts.remember(config, known, [file], cache)
    assert facts.recall(config, cache) == known
    file.unlink()
    assert facts.recall(config, cache) is None


def test_facts_that_an_earlier_version_read_are_read_again(tmp_path):
    facts.remember({"name": "x"}, Facts((1, 2, 2), 0, (), 1, ""), [], tmp_path)
    (entry,) = (tmp_path / "facts").iterdir()
    entry.write_text(
        json.dumps({**json.loads(entry.read_text()), "format": 2})
    )  # before EXIF, transparency, and the order of classes
    assert facts.recall({"name": "x"}, tmp_path) is None


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"format": 1}', '{"format": 1, "read": [], "facts": {"a": 1}}'])
def test_a_damaged_entry_is_ignored_and_rewritten(damage, tmp_path):
    known = Facts((3, 4, 4), 0, (), 7, "sum")
    facts.remember({"name": "x"}, known, [], tmp_path)
    (entry,) = (tmp_path / "facts").iterdir()
    entry.write_text(damage)
    assert facts.recall({"name": "x"}, tmp_path) is None
    facts.remember({"name": "x"}, known, [], tmp_path)
    assert facts.recall({"name": "x"}, tmp_path) == known


@pytest.mark.parametrize("many", [1000, 3])
def test_a_file_that_joins_a_folder_is_noticed(many, tmp_path, monkeypatch):
    monkeypatch.setattr(facts, "MANY", many)
    for value in range(8):
        write_image(tmp_path / "data" / "ab"[value % 2] / f"{value}.png", value)
    data = ImageData(partial(folders.image_folder, str(tmp_path / "data")), 2)
    facts.remember({"name": "x"}, data.facts(), data.files(), tmp_path / "cache")
    assert facts.recall({"name": "x"}, tmp_path / "cache") == data.facts()
    (entry,) = (tmp_path / "cache" / "facts").iterdir()
    assert len(json.loads(entry.read_text())["read"]) == (11 if many > 3 else 3)
    write_image(tmp_path / "data" / "b" / "new.png", 3)
    assert facts.recall({"name": "x"}, tmp_path / "cache") is None


def test_a_cache_that_cannot_be_written_to_stops_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    facts.remember({"name": "x"}, Facts((1, 2, 2), 0, (), 1, ""), [], tmp_path / "file")
    assert facts.recall({"name": "x"}, tmp_path / "file") is None


def test_facts_are_recalled_without_torch():
    code = "import sys, genrun.data.facts; sys.exit(sum(m in sys.modules for m in ('torch', 'pytorch_lightning')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
