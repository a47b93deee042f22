"""The `evaluate` stage: what a run's samples are worth and what they cost, without knowing the method."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from genrun.evaluation.classifier import Classifier, predict, reference_classifier
from genrun.runs import FORMAT, digest, plain, write_atomic, write_json
from genrun.sampling import seeded
from genrun.show import markdown
from genrun.types import Diagnoses, Reconstructs

if TYPE_CHECKING:
    from genrun.data.module import ImageData
    from genrun.run import Job


def evaluate(job: Job) -> list[Path]:
    """Leave results.json and results.md: quality as far as `evaluation` asks for it, and cost."""
    folder, settings = job.folder, plain(job.cfg.evaluation)
    rows: list[dict[str, Any]] = []

    def row(name: str, value: float | int | str, note: str = "") -> None:
        rows.append({"name": name, "value": value, "note": note})

    if settings["label_accuracy"] and job.data.facts().num_classes and job.method.num_classes:
        for result in label_accuracy(job, settings["classifier"]):
            row(*result)
    if settings["reconstructions"] and isinstance(job.method, Reconstructs):
        row(*reconstruction_error(job, settings["reconstructions"]))
    if isinstance(job.method, Diagnoses):
        for name, value in job.method.diagnose(generator=seeded(job.cfg.seed, device=job.method.device)).items():
            row(name, value)
    for result in cost(job):
        row(*result)
    title = f"{job.cfg.model.name} on {job.cfg.data.name}, {folder.path.name}"
    results = {
        "format": FORMAT,
        "title": title,
        "judged": "the last weights",
        "samples": job.cfg.sample.n,
        "seed": job.cfg.seed,
        "evaluation": digest(settings),
        "rows": rows,
    }
    write_json(folder.path / "results.json", results)
    write_atomic(folder.path / "results.md", markdown(title, rows))
    return [folder.path / "results.json", folder.path / "results.md"]


def label_accuracy(job: Job, settings: dict[str, Any]) -> list[tuple[str, float, str]]:
    """Rows on whether samples.npz shows the classes that were asked for, by the reference classifier."""
    classifier, real = reference_classifier(job.data, settings, Path(job.cfg.paths.cache).expanduser(), job.console)
    samples = np.load(job.folder.path / "samples.npz")
    images, labels = torch.from_numpy(samples["images"]).permute(0, 3, 1, 2), torch.from_numpy(samples["labels"])
    result = recognised(images, labels, job.data, classifier)
    return [
        ("label accuracy", result["accuracy"], f"the classifier's own on test images: {real:.4f}"),
        ("label accuracy, weakest class", result["weakest"], f"class {result['weakest class']}"),
        ("variety within a class", result["variety"], "1: pixels vary as in test images; 0: one image a class"),
    ]


def recognised(images: Tensor, labels: Tensor, data: ImageData, classifier: Classifier) -> dict[str, Any]:
    """Share of images (n, C, H, W) uint8 that the classifier takes for their labels (n,), and their variety.

    Variety is the square root of the mean variance of a pixel within a class, of these images over that of test images: 0 where
    each class has one image, 1 where they differ as much as real ones.
    """
    right = torch.cat([predict(classifier, part / 255) for part in images.split(1000)]) == labels
    names = data.facts().class_names
    by_class = {name: right[labels == k].double().mean().item() for k, name in enumerate(names) if (labels == k).any()}
    weakest = min(by_class, key=by_class.get)
    test = torch.cat([data.test.images(i) for i in torch.arange(len(data.test)).split(1000)])
    ours, real = spread(images / 255, labels, len(names)), spread(test, data.test.labels, len(names))
    variety = ours / real if ours is not None and real else None
    accuracy = right.double().mean().item()
    return {"accuracy": accuracy, "weakest": by_class[weakest], "weakest class": weakest, "variety": variety}


def spread(images: Tensor, labels: Tensor, num_classes: int) -> float | None:
    """Root of the mean variance of a pixel within a class, averaged over classes with two images or more; None without one."""
    inside = [images[labels == k].double() for k in range(num_classes)]
    each = [of_class.var(0).mean().sqrt() for of_class in inside if len(of_class) > 1]
    return torch.stack(each).mean().item() if each else None


def reconstruction_error(job: Job, most: int) -> tuple[str, float, str]:
    """Mean squared error of reconstructed test images, on [0, 1]."""
    index = torch.arange(min(most, len(job.data.test)))
    device, total = job.method.device, 0.0
    for part in index.split(job.cfg.sample.chunk):
        images = job.data.test.images(part).to(device)
        labels = job.data.test.labels[part].to(device) if job.method.num_classes else None
        total += (job.method.reconstruct(images, labels) - images).square().mean((1, 2, 3)).sum().item()
    return "reconstruction error (MSE)", total / len(index), f"{len(index)} test images"


def cost(job: Job) -> list[tuple[str, float | int, str]]:
    """Seconds, images a second, memory and parameters."""
    status = job.folder.status()
    trained, sampled = status["training_seconds"], status["sampling_seconds"]
    return [
        (
            "training, s",
            trained,
            f"{status['epoch']} epochs, {status['training_images'] / max(trained, 1e-9):,.0f} images/s",
        ),
        ("sampling, s", sampled, f"{job.cfg.sample.n:,} images, {job.cfg.sample.n / max(sampled, 1e-9):,.0f} images/s"),
        ("peak memory, GiB", status["peak_memory_gib"], "of the process, until training ended"),
        ("parameters", sum(weight.numel() for weight in job.method.parameters()), "without stored codes"),
    ]
