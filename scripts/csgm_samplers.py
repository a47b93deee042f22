"""Compare CSGM's samplers: `python scripts/csgm_samplers.py RUN …` judges 1,000 images per class of each.

Prints the metrics of the judge that need no training (see docs/judging.md) and the mean d of the drawn codes. Writes a grid
of each sampler to the working folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from genrun import open_run
from genrun.config.compose import compose
from genrun.figures.grid import image_grid, png_bytes, to_uint8
from genrun.inference import sample_chunks, seeded
from genrun.parts import build_data, build_judge
from genrun.report.tables import number
from genrun.system.files import write_atomic

SAMPLERS = {"prior": ("prior", 1), "algorithm 2, K = 2": ("algorithm2", 2), "algorithm 2, K = 1": ("algorithm2", 1)}
METRICS = {  # heading → name of a row of the judge
    "accuracy": "label accuracy",
    "variety": "variety within a class",
    "Fréchet o": "Fréchet distance (observer)",
    "Fréchet r": "Fréchet distance (random)",
    "recall": "recall (random)",
    "C_T": "copying statistic C_T",
}


def main(runs: list[str]) -> None:
    console = Console(width=140)
    table = Table("run", "sampler", *METRICS, "weakest", "mean d", box=None, pad_edge=False)
    for path in runs:
        run = open_run(path)
        cfg, method = run.config, run.method()
        cfg.evaluation = compose(["evaluation.train_on_generated=0", "evaluation.inception=null"]).evaluation
        judge = build_judge(cfg, build_data(cfg), console)
        # so that a run with sampler=algorithm2 has a prior as well
        method.refit_prior(method.stored_codes(), method.labels)
        for name, (method.sampler, method.mean_of) in SAMPLERS.items():
            chunks = list(sample_chunks(method, 1000 * method.num_classes, seed=0))
            images = torch.from_numpy(to_uint8(torch.cat([part for part, _ in chunks]))).permute(0, 3, 1, 2)
            labels = torch.cat([part for _, part in chunks])
            rows = {row.name: row for row in judge.judge(images, labels)}
            shown = method.draw_codes(1000, labels[:1000], seeded(0))
            with torch.no_grad():
                d = method(shown, labels[:1000], method.places)[0].mean().item()
            first = [images[labels == k][:10] for k in range(method.num_classes)]
            short = f"{run.folder.path.parent.name}-{method.sampler}-K{method.mean_of}.png"
            write_atomic(Path(short), png_bytes(image_grid(torch.cat(first), 10)))
            values = [number(rows[row].value) for row in METRICS.values()]
            table.add_row(
                path, name, *values, rows["label accuracy"].note.removeprefix("weakest: ").partition(";")[0], f"{d:.2f}"
            )
        table.add_row(path, "real images", *(number(rows[row].floor) for row in METRICS.values()))
    console.print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
