"""The `evaluate` stage: judge a run and write results.json, results.md and the plots of its tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from genrun.config.container import to_container
from genrun.data.arrays import read_npz
from genrun.data.images import Stored
from genrun.evaluation.judge import Judge
from genrun.evaluation.rows.blends import blends
from genrun.evaluation.rows.codes import code_rows
from genrun.evaluation.rows.combinations import combination_lines, combinations
from genrun.evaluation.rows.cost import cost_rows
from genrun.evaluation.rows.fitted import fitted_rows
from genrun.evaluation.rows.held_out import likelihood_rows, reconstruction_rows
from genrun.evaluation.rows.mixed_training import mixed_training
from genrun.evaluation.rows.recognition import own_classifier_row
from genrun.evaluation.rows.row import Row
from genrun.evaluation.rows.separation import separation
from genrun.evaluation.table import record
from genrun.figures.dependence import dependence
from genrun.figures.grid import image_grid, png_bytes
from genrun.inference import seeded
from genrun.report.compare import comparison_lines, comparison_table
from genrun.report.tables import markdown, results_markdown
from genrun.runs.folder import RunFolder
from genrun.system.files import write_atomic, write_json
from genrun.types import Classifies, Diagnoses

if TYPE_CHECKING:
    from genrun.data.module import ImageData
    from genrun.methods.method import Method

RANKED = 2000  # samples at most of which the best and the worst are shown


def evaluate(folder: RunFolder, cfg: DictConfig, data: ImageData, method: Method, judge: Judge) -> list[Path]:
    """Judge the samples in samples.npz and the method, and write the table of metrics.

    Returns:
        The files that it wrote.
    """
    chunk = cfg.sample.chunk
    samples = read_npz(folder.path / "samples.npz", own=True).images
    labels = judge.labels_of(samples, str(folder.path / "samples.npz"))
    rows = judge.judge(samples.array, labels)
    rows += fitted_rows(method, judge, cfg.sample.n)
    rows += reconstruction_rows(method, data, judge.reconstructions, chunk)
    rows += likelihood_rows(method, data, judge.likelihoods, chunk, cfg.seed, judge.importance_samples)
    rows += code_rows(method, data, judge.linear_probe, chunk)
    if isinstance(method, Classifies) and data.facts().num_classes and len(data.test):
        rows.append(own_classifier_row(method, data, chunk))
    tables: dict[str, Any] = {}
    if judge.class_separation:
        of_codes, tables = separation(method, data, chunk)
        rows += of_codes
    if judge.recipe:
        by_classifiers, more = classifier_tables(cfg, method, judge, None if labels is None else samples)
        rows += by_classifiers
        tables |= more
    if isinstance(method, Diagnoses):
        rows += [
            Row(name, value)
            for name, value in method.diagnose(generator=seeded(cfg.seed, device=method.device)).items()
        ]
    rows += cost_rows(folder, cfg, method)
    title = f"{cfg.model.name} on {cfg.data.name}, {folder.path.name}"
    results = record(title, rows, judge) | {"judged": "the last weights", "evaluation": to_container(cfg.evaluation)}
    text = results_markdown(results)
    if "combinations" in tables:
        text += "\n" + markdown("Combinations of codes", *combination_lines(tables["combinations"]))
    if beside := comparison_table(cfg, folder, results["rows"]):
        tables |= {"beside": beside}
        text += "\n" + markdown("Beside other runs", *comparison_lines(beside), notes=False)
    plots = plots_of(tables)
    if judge.plain_words and judge.headline and samples.array.shape[1] in (1, 3):
        plots["best_and_worst.png"] = best_and_worst(judge, samples.array)
    folder.figures.mkdir(exist_ok=True)
    for name, content in plots.items():
        write_atomic(folder.figures / name, content)
    write_json(folder.path / "results.json", results | {"tables": tables})
    write_atomic(folder.path / "results.md", text)
    return [folder.path / "results.json", folder.path / "results.md", *(folder.figures / name for name in plots)]


def classifier_tables(
    cfg: DictConfig, method: Method, judge: Judge, samples: Stored | None
) -> tuple[list[Row], dict[str, Any]]:
    """Return the rows and the tables that need classes and the reference classifier, as far as the method has the capability.

    Args:
        samples: the samples with their labels; None if they have no labels.
    """
    chunk, real, space = cfg.sample.chunk, judge.real, judge.headline
    combined = combinations(
        method, real, judge.classifier, space, judge.combinations, judge.reconstructions, chunk, cfg.seed
    )
    blended = blends(method, real, judge.classifier, space, min(judge.blends, judge.reconstructions), chunk)
    mixed = mixed_training(real, judge.recipe, samples, judge.mixed_training, judge.train_on_generated, judge.device)
    tables = {"combinations": combined[1], "blends": blended, "mixed training": mixed[1]}
    return combined[0] + mixed[0], {name: table for name, table in tables.items() if table}


def best_and_worst(judge: Judge, images: Tensor) -> bytes:
    """Draw the sixteen samples that lie nearest to a test image, and the sixteen that lie furthest off, as a PNG.

    Args:
        images: (n, C, H, W) uint8; the first `RANKED` of them are compared.
    """
    images = images[:RANKED]
    order = judge.from_best_to_worst(images)
    shown = torch.cat([order[:16], order[-16:].flip(0)])
    return png_bytes(image_grid(images[shown], 8, row_names=["best", "best", "worst", "worst"]))


def plots_of(tables: dict[str, Any]) -> dict[str, bytes]:
    """Draw the tables that depend on one option: file name → PNG."""
    plots = {}
    if "blends" in tables:
        curves = {
            name: [(line["alpha"], line[name]) for line in tables["blends"] if line[name] is not None]
            for name in ("Fréchet distance", "accuracy")
        }
        shown = {name: points for name, points in curves.items() if points}
        plots["blends.png"] = png_bytes(dependence(shown, "weight of the reconstruction, α"))
    if "mixed training" in tables:
        points = [(line["share"], line["accuracy"]) for line in tables["mixed training"]]
        option = "share of originals; above 1, generations are added"
        plots["mixed_training.png"] = png_bytes(dependence({"accuracy": points}, option, {1.0: "originals alone"}))
    return plots
