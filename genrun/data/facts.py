"""Cache the facts of data sets, so that a finished run is recognised without reading its data or importing torch.

There is one JSON file per data configuration. It is valid only while every file that was read still has the same size
and modification time. A damaged JSON file is ignored and written again.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from genrun.config.container import to_container
from genrun.system.files import write_atomic
from genrun.types import Facts

FORMAT = 3  # raise it when other images are chosen for the same options
MANY = 1000  # with more files than this, an entry holds one digest per folder instead of one row per file
FACT_FIELDS = ("image_shape", "num_classes", "class_names", "train_size", "checksum")
NOT_IN_KEY = (
    "facts",
    "seed",
    "batch_size",
    "passes",
    "augment",
    "workers",
    "memory_limit",
    *FACT_FIELDS,
)  # facts that are read from the data, and options that do not change them


def described_data(cfg: DictConfig) -> dict[str, Any]:
    """Return the options of the data module, without the facts that are read from the data."""
    return {key: value for key, value in to_container(cfg.data).items() if key != "facts"}


def recall(data_config: dict[str, Any], cache: Path) -> Facts | None:
    """Return the cached facts of this data, or None when there are none or a file has changed."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        entry = json.loads(_place(data_config, cache).read_text())
        if entry["format"] == FORMAT and all(_fingerprint(kind, path) == seen for kind, path, seen in entry["read"]):
            return Facts.from_dict(entry["facts"])
    return None


def remember(data_config: dict[str, Any], facts: Facts, files: list[Path], cache: Path) -> None:
    """Write the facts to the cache; a cache that cannot be written does not stop the run."""
    with suppress(OSError):
        kind, paths = "file", files
        if len(files) > MANY:
            kind, paths = "folder", sorted({path if path.is_dir() else path.parent for path in files})
        read = [[kind, os.fspath(path), _fingerprint(kind, path)] for path in paths]
        place = _place(data_config, cache)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(place, json.dumps({"format": FORMAT, "facts": facts.to_dict(), "read": read}, indent=1) + "\n")


def _place(data_config: dict[str, Any], cache: Path) -> Path:
    key = {name: value for name, value in data_config.items() if name not in NOT_IN_KEY}
    canonical = json.dumps(key, sort_keys=True, separators=(",", ":"))
    return cache / "facts" / f"{hashlib.sha256(canonical.encode()).hexdigest()}.json"


def _fingerprint(kind: str, path: str | Path) -> list[int] | str:
    """Return a file's size and modification time, or one digest over the names, sizes and times of a folder's entries."""
    if kind == "file":
        stat = os.stat(path)
        return [stat.st_size, stat.st_mtime_ns]
    rows = []
    with os.scandir(path) as entries:
        for entry in entries:
            stat = entry.stat()
            rows.append(f"{entry.name} {stat.st_size} {stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest()
