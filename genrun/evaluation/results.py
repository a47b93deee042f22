"""The `evaluate` stage: results.json and results.md of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from genrun.beside import beside_table, lines_of
from genrun.data.arrays import read_npz
from genrun.evaluation.codes import separation
from genrun.evaluation.held_out import likelihood_rows, reconstruction_rows
from genrun.evaluation.judge import Judge
from genrun.evaluation.rows import Row
from genrun.runs import FORMAT, RunFolder, plain, write_atomic, write_json
from genrun.sampling import seeded
from genrun.show import HEADINGS, lines, markdown
from genrun.types import Diagnoses

if TYPE_CHECKING:
    from genrun.data.module import ImageData
    from genrun.methods.method import Method


def evaluate(folder: RunFolder, cfg: DictConfig, data: ImageData, method: Method, judge: Judge) -> list[Path]:
    """Judge samples.npz and the method, and leave the table.

    Returns:
        The files it leaves.
    """
    samples = read_npz(folder.path / "samples.npz")
    rows = judge.judge(samples.array, judge.labels_of(samples, str(folder.path / "samples.npz")))
    rows += reconstruction_rows(method, data, judge.reconstructions, cfg.sample.chunk)
    rows += likelihood_rows(method, data, judge.likelihoods, cfg.sample.chunk, cfg.seed, judge.importance_samples)
    tables: dict[str, Any] = {}
    if judge.class_separation:
        of_codes, tables = separation(method, data, cfg.sample.chunk)
        rows += of_codes
    if isinstance(method, Diagnoses):
        rows += [
            Row(name, value)
            for name, value in method.diagnose(generator=seeded(cfg.seed, device=method.device)).items()
        ]
    rows += cost(folder, cfg, method)
    title = f"{cfg.model.name} on {cfg.data.name}, {folder.path.name}"
    results = record(title, rows, judge) | {"judged": "the last weights", "evaluation": plain(cfg.evaluation)}
    text = markdown(title, HEADINGS, lines(results["rows"]))
    if beside := beside_table(cfg, folder, results["rows"]):
        tables |= {"beside": beside}
        text += "\n" + markdown("Beside other runs", *lines_of(beside), notes=False)
    write_json(folder.path / "results.json", results | {"tables": tables})
    write_atomic(folder.path / "results.md", text)
    return [folder.path / "results.json", folder.path / "results.md"]


def record(title: str, rows: list[Row], judge: Judge) -> dict[str, Any]:
    """What results.json holds of a table."""
    return {
        "format": FORMAT,
        "title": title,
        "seed": judge.seed,
        "data": judge.facts.checksum,
        "features": judge.hashes,
        "rows": [row.plain() | {"seed": judge.seed} for row in rows],
    }


def cost(folder: RunFolder, cfg: DictConfig, method: Method) -> list[Row]:
    """Seconds, images a second, memory and parameters."""
    status = folder.status()
    trained, sampled = status["training_seconds"], status["sampling_seconds"]
    rate = status["training_images"] / max(trained, 1e-9)
    parameters = sum(weight.numel() for weight in method.parameters())
    drawn = f"{cfg.sample.n / sampled:,.0f} images/s" if sampled else "at once"
    return [
        Row("training, s", trained, note=f"{status['epoch']} epochs, {rate:,.0f} images/s, without looks at samples"),
        Row("sampling, s", sampled, note=f"{cfg.sample.n:,} images, {drawn}"),
        Row(
            "peak memory, GiB",
            status["peak_memory_gib"],
            note="of the process until training ended, with looks at samples",
        ),
        Row("parameters", parameters, note="without stored codes"),
    ]
