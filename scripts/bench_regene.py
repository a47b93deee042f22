"""Measure what ReGene costs: its loss, the training of its decoder, its generations, closest matches (part of `make bench`).

The other side of the training is a plain torch loop of the same networks: a `DataLoader` over arrays in memory, the usual memory format,
32 bits, the same SSIM. Generations and closest matches have goals in seconds. Needs MNIST in $GENRUN_DATA.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Callable

import torch
from bench import PAIRS, ROOT, median_pair
from bench_generators import build
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.functional.image import structural_similarity_index_measure

from genrun.config.compose import compose
from genrun.data.images import Stored
from genrun.data.sources import mnist
from genrun.evaluation.closest import SquaredError, StructuralDissimilarity, closest
from genrun.inference import balanced_labels
from genrun.maths.ssim import structural_similarity
from genrun.run import run
from genrun.runs.open import open_run

TRAINED = 6000  # images in the compared epochs
BATCH = 256


def loss_seconds(similarity: Callable[[Tensor, Tensor], Tensor], images: Tensor) -> float:
    """Return the seconds of the loss of a batch and its gradient."""
    made = (images + 0.1 * torch.randn_like(images)).clamp(0, 1).requires_grad_()
    started = time.perf_counter()
    similarity(made, images).mean().backward()
    return time.perf_counter() - started


def our_epoch(outputs: str) -> float:
    """Return the seconds of an epoch of the decoder, of a run with one epoch in each phase."""
    words = [
        *("model=regene", "data=mnist", f"data.limit={TRAINED}", "data.validation=500", "evaluation=none"),
        *(f"model.phases.{phase}.max_epochs=1" for phase in ("classifier", "decoder_pixels")),
        *("model.phases.decoder_outline.max_epochs=2", "model.image_check=false", "callbacks=none", "sample.n=10"),
        *(f"data.batch_size={BATCH}", "run.resume=never", f"paths.outputs={outputs}", "model.filter_sources=false"),
        "model.latent_check=false",
    ]
    folder = run(compose(words), words, Console(quiet=True))
    phase = folder.status()["phases"]["decoder_outline"]
    return phase["training_seconds"] / phase["training_images"] * TRAINED


def plain_epoch(images: Stored) -> float:
    """Return the seconds of an epoch of the decoder in a hand-written loop over a DataLoader."""
    method, _ = build("regene", images)
    encoder = method.encoder.to(memory_format=torch.contiguous_format).eval()
    decoder = method.decoder.to(memory_format=torch.contiguous_format)
    optimizer = torch.optim.Adam(decoder.parameters())
    data = DataLoader(TensorDataset(images.array.float().div(255), images.labels), BATCH, shuffle=True)
    started = time.perf_counter()
    for image, _ in data:
        with torch.no_grad():
            codes = encoder.layers(image)
        made = torch.sigmoid(decoder.layers(codes))
        loss = (made - image).abs().mean() + (1 - structural_similarity(made, image)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (time.perf_counter() - started) / len(images) * TRAINED


def main() -> None:
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    if not (ROOT / "MNIST" / "raw").is_dir():
        sys.exit(f"bench: MNIST is not in {ROOT}; set GENRUN_DATA to the folder that holds MNIST/raw")
    torch.manual_seed(0)
    train = mnist(root=str(ROOT)).train
    table = Table(f"median of {PAIRS} pairs", "genrun", "other", "ratio", "goal", box=None, pad_edge=False)
    batch = train.images(torch.arange(BATCH))
    ours, theirs = median_pair(
        lambda: loss_seconds(structural_similarity, batch),
        lambda: loss_seconds(lambda x, y: structural_similarity_index_measure(x, y, data_range=1.0), batch),
    )
    what = f"SSIM loss and gradient of {BATCH} images, ms, against torchmetrics"
    table.add_row(what, f"{1000 * ours:.1f}", f"{1000 * theirs:.1f}", f"{theirs / ours:.1f}", "≥ 1")
    few = train.take(torch.arange(TRAINED))
    with tempfile.TemporaryDirectory() as outputs:
        ours, theirs = median_pair(lambda: our_epoch(outputs), lambda: plain_epoch(few))
        what = "training the decoder, images/s, against a plain loop"
        table.add_row(what, f"{TRAINED / ours:,.0f}", f"{TRAINED / theirs:,.0f}", f"{theirs / ours:.2f}", "≥ 1.3")
    Console(width=120).print(table)
    if len(sys.argv) > 1:  # a trained run
        method = open_run(sys.argv[1]).method()
        labels = balanced_labels(5000, method.num_classes)
        started, tries = time.perf_counter(), 0
        for number, part in enumerate(labels.split(500)):
            made = method.combine(part, sources=2, spread="averaged", generator=torch.Generator().manual_seed(number))
            tries += int(made.tries.sum())
        print(f"5,000 accepted generations ({tries:,} tries): {time.perf_counter() - started:.1f} s (≤ 60)")
    queries = mnist(root=str(ROOT)).test.images(torch.arange(100))
    candidates = (train.images(index) for index in torch.arange(len(train)).split(500))
    started = time.perf_counter()
    closest([SquaredError(queries), StructuralDissimilarity(queries)], candidates, 3)
    print(f"closest matches of 100 images among {len(train):,}: {time.perf_counter() - started:.1f} s (≤ 10)")


if __name__ == "__main__":
    main()
