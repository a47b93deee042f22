"""ReGene: its loss, the training of its decoder, its accepted generations, closest matches."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Generator, Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from genrun.evaluation.closest import SquaredError, StructuralDissimilarity, closest
from genrun.inference import balanced_labels
from genrun.maths.ssim import structural_similarity
from genrun.runs.open import open_run
from scripts.bench.effort import Effort
from scripts.bench.measuring import Failed, in_turn, seconds_in_turn, seconds_of
from scripts.bench.plain import by_loader, epoch_rate, loader_of, regene_step
from scripts.bench.rows import Row, cost, rate
from scripts.bench.trainings import UNCHECKED, build, mnist_source, phases_of_regene, rate_of

TRAINED = 6000  # images in the compared epochs
BATCH = 256
GENERATIONS = 5000
PHASE = "decoder_outline"
WORDS = ("model=regene", "data=mnist", f"data.batch_size={BATCH}", "trainer.limit_val_batches=0", *UNCHECKED)


def rows(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this subject."""
    source = mnist_source()
    train = source.train
    batch = train.images(torch.arange(BATCH))
    yield cost(
        f"SSIM loss and gradient of {BATCH} images, against torchmetrics",
        *seconds_in_turn(
            lambda: loss(structural_similarity, batch),
            lambda: loss(lambda x, y: structural_similarity_index_measure(x, y, data_range=1.0), batch),
            effort.pairs,
        ),
        goal=1,
    )
    n = effort.count(TRAINED, BATCH)
    words = (*WORDS, f"data.limit={n}", *phases_of_regene(2))
    loader, step = loader_of(train.take(torch.arange(n)), BATCH), regene_step(build(words)[0])
    pair = in_turn(lambda: rate_of(words, PHASE), lambda: epoch_rate(step, by_loader(loader)), effort.pairs)
    yield rate(f"training the decoder, batch {BATCH}, against a plain loop", *pair, goal=1.2)
    if effort.run is not None:
        yield generations(effort.run)
    queries, among = source.test.images(torch.arange(100)), effort.count(len(train), 500)
    candidates = (train.images(index) for index in torch.arange(among).split(500))
    taken = seconds_of(lambda: closest([SquaredError(queries), StructuralDissimilarity(queries)], candidates, 3))
    yield Row("closest matches", taken, goal=10, note=f"of {len(queries)} images among {among:,}")


def loss(similarity: Callable[[Tensor, Tensor], Tensor], images: Tensor) -> None:
    """Compute the loss of a batch and its gradient."""
    made = (images + 0.1 * torch.randn_like(images)).clamp(0, 1).requires_grad_()
    similarity(made, images).mean().backward()


def generations(run: str) -> Row:
    """Measure the accepted generations of a trained run."""
    method, tries = open_run(run).method(), 0

    def generate() -> None:
        nonlocal tries
        for number, part in enumerate(balanced_labels(GENERATIONS, method.num_classes).split(500)):
            made = method.combine(part, sources=2, spread="averaged", generator=Generator().manual_seed(number))
            if made.tries is None:
                raise Failed(f"{run}: expected a run whose generations are checked; it was trained without the checks")
            tries += int(made.tries.sum())

    taken = seconds_of(generate)
    return Row(f"{GENERATIONS:,} accepted generations", taken, goal=60, note=f"{tries:,} tries")
