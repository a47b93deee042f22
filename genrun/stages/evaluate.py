"""The `evaluate` stage: judge a run and write results.json and results.md."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from genrun.config.container import to_container
from genrun.data.arrays import read_npz
from genrun.evaluation.judge import Judge
from genrun.evaluation.rows.cost import cost_rows
from genrun.evaluation.rows.held_out import likelihood_rows, reconstruction_rows
from genrun.evaluation.rows.row import Row
from genrun.evaluation.rows.separation import separation
from genrun.evaluation.table import record
from genrun.inference import seeded
from genrun.report.compare import comparison_lines, comparison_table
from genrun.report.tables import HEADINGS, lines, markdown
from genrun.runs.folder import RunFolder
from genrun.system.files import write_atomic, write_json
from genrun.types import Diagnoses

if TYPE_CHECKING:
    from genrun.data.module import ImageData
    from genrun.methods.method import Method


def evaluate(folder: RunFolder, cfg: DictConfig, data: ImageData, method: Method, judge: Judge) -> list[Path]:
    """Judge the samples in samples.npz and the method, and write the table of metrics.

    Returns:
        The files that it wrote.
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
    rows += cost_rows(folder, cfg, method)
    title = f"{cfg.model.name} on {cfg.data.name}, {folder.path.name}"
    results = record(title, rows, judge) | {"judged": "the last weights", "evaluation": to_container(cfg.evaluation)}
    text = markdown(title, HEADINGS, lines(results["rows"]))
    if beside := comparison_table(cfg, folder, results["rows"]):
        tables |= {"beside": beside}
        text += "\n" + markdown("Beside other runs", *comparison_lines(beside), notes=False)
    write_json(folder.path / "results.json", results | {"tables": tables})
    write_atomic(folder.path / "results.md", text)
    return [folder.path / "results.json", folder.path / "results.md"]
