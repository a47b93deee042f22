"""Finished runs to damage: copies of the runs that an earlier version left, so that none is trained here."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from genrun.runs.folder import RunFolder

OLD_RUNS = Path(__file__).parents[1] / "old_runs"


def unpack(outputs: Path, name: str = "autoencoder") -> RunFolder:
    """Unpack a run of tests/old_runs below a folder of outputs."""
    with tarfile.open(OLD_RUNS / f"{name}.tar.gz") as archive:
        archive.extractall(outputs, filter="data")
    (path,) = outputs.glob(f"*/{name}")
    return RunFolder(path)


def change_config(folder: RunFolder, key: str, value: Any) -> None:
    """Write another value at a dotted key of the run's config.yaml; the text is written as it is, also an interpolation."""
    config = OmegaConf.to_container(OmegaConf.load(folder.path / "config.yaml"))
    *parents, last = key.split(".")
    node = config
    for parent in parents:
        node = node[parent]
    node[last] = value
    (folder.path / "config.yaml").write_text(json.dumps(config))  # JSON is YAML


def change_json(folder: RunFolder, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a JSON record of a run in place."""
    file = folder.path / name
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
