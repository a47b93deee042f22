"""CSGM's samplers side by side: `python scripts/csgm_samplers.py RUN …` scores 1,000 images a class of each.

Label accuracy by the reference classifier of the run's data set, weakest class, variety (see genrun.evaluation.judge) and
the mean d of the codes that were drawn; a grid of each sampler is written to the working folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table

from genrun import open_run
from genrun.evaluation.classifier import reference_classifier
from genrun.evaluation.judge import recognised
from genrun.figures.grid import image_grid, png_bytes, to_uint8
from genrun.run import build_data
from genrun.runs import write_atomic
from genrun.sampling import sample_chunks, seeded

SAMPLERS = {"prior": ("prior", 1), "algorithm 2, K = 2": ("algorithm2", 2), "algorithm 2, K = 1": ("algorithm2", 1)}


def main(runs: list[str]) -> None:
    console, table = (
        Console(width=120),
        Table("run", "sampler", "accuracy", "weakest", "variety", "mean d", box=None, pad_edge=False),
    )
    for path in runs:
        run = open_run(path)
        data, method = build_data(run.config), run.method()
        settings = OmegaConf.to_container(
            OmegaConf.load(Path(__file__).parents[1] / "conf/evaluation/default.yaml").classifier
        )
        classifier, real = reference_classifier(data, settings, Path(run.config.paths.cache).expanduser(), console)
        method.refit_prior(method.stored_codes(), method.labels)  # a run of algorithm 2 has a prior too
        for name, (method.sampler, method.mean_of) in SAMPLERS.items():
            chunks = list(sample_chunks(method, 1000 * method.num_classes, seed=0))
            images = torch.from_numpy(to_uint8(torch.cat([part for part, _ in chunks]))).permute(0, 3, 1, 2)
            labels = torch.cat([part for _, part in chunks])
            result = recognised(images, labels, data, classifier)
            shown = method.draw_codes(1000, labels[:1000], seeded(0))
            with torch.no_grad():
                d = method(shown, labels[:1000], method.places)[0].mean().item()
            grid = image_grid(
                images[labels.argsort(stable=True)]
                .view(method.num_classes, -1, *images.shape[1:])[:, :10]
                .flatten(0, 1),
                10,
            )
            short = f"{run.folder.path.parent.name}-{method.sampler}-K{method.mean_of}.png"
            write_atomic(Path(short), png_bytes(grid))
            table.add_row(
                path,
                name,
                f"{result['accuracy']:.4f}",
                f"{result['weakest']:.3f} ({result['weakest class']})",
                f"{result['variety']:.3f}",
                f"{d:.2f}",
            )
        table.add_row(path, "real test images", f"{real:.4f}")
    console.print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
