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


def some_run(
    outputs: Path, name: str, *, model: str = "autoencoder", data: str = "digits", seed: int = 0, **values: float
) -> RunFolder:
    """Make a finished run of a name from one of tests/old_runs: small files only.

    Args:
        values: metric → value of rows that results.json has besides its own. `frechet`, `coverage`, `authenticity`, and `earlier_frechet`
            and `earlier_coverage` of a table before the observer, stand for the names.
    """
    run = unpack(outputs, "autoencoder")
    path = outputs / f"{model}-{data}" / name
    path.parent.mkdir(exist_ok=True, parents=True)
    run.path.rename(path)
    made = RunFolder(path)
    for key, value in (("model.name", model), ("data.name", data), ("seed", seed)):
        change_config(made, key, value)
    rows = [
        {"name": METRICS[key], "value": value, "note": "", "best": BEST[key], "floor": 0.5}
        for key, value in values.items()
    ]
    change_json(made, "results.json", lambda results: results["rows"].extend(rows))
    overrides = [f"model={model}", f"data={data}", f"seed={seed}", f"run.name={name}"]
    change_json(made, "provenance.json", lambda record: record.update(overrides=overrides))
    change_json(made, "status.json", lambda status: status.update(id=name, group_id=f"{model}-{data}"))
    return made


METRICS = {
    "frechet": "Fréchet distance (observer)",
    "coverage": "coverage (observer)",
    "authenticity": "authenticity",
    "earlier_frechet": "Fréchet distance (classifier)",
    "earlier_coverage": "coverage (classifier)",
}
BEST = {
    "frechet": "low",
    "coverage": "high",
    "authenticity": "real",
    "earlier_frechet": "low",
    "earlier_coverage": "high",
}


def started(folder: RunFolder, when: str) -> RunFolder:
    """Change when the last attempt of a run began, an ISO time."""
    change_json(folder, "status.json", lambda status: status["attempts"][-1].update(started=when))
    return folder
