"""The limit: floating-point operations a second of a training, as a fraction of what one large product reaches on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_lightning import Callback
from torch.utils.flop_counter import FlopCounterMode

from genrun.system.hardware import precision
from scripts.bench.effort import Effort
from scripts.bench.measuring import Failed, in_turn
from scripts.bench.products import Product, fastest
from scripts.bench.rows import Row
from scripts.bench.trainings import (
    EPOCHS,
    LEAST,
    QUICK_PRIOR,
    UNCHECKED,
    build,
    phases_of_regene,
    rate_of,
    train,
)

GIGA = 1e9
REGENE = (*UNCHECKED, *phases_of_regene(2), "data.batch_size=256", "trainer.limit_val_batches=0")


@dataclass(frozen=True)
class Counted:
    """A network whose training is counted and measured.

    Args:
        name: of the network.
        model: its method.
        images: of an epoch.
        goal: least fraction of the limit.
        words: of the training.
        phase: in which it is trained.
        important: whether `--quick` measures it.
    """

    name: str
    model: str
    images: int
    goal: float | None = None
    words: tuple[str, ...] = EPOCHS
    phase: str = ""
    important: bool = False


NETWORKS = (
    Counted("U-Net", "ddpm", 1024, 0.6, important=True),
    Counted("decoder", "regene", 2048, 0.6, REGENE, "decoder_outline"),
    Counted("convolutions", "vae", 10240, None, (*EPOCHS, *QUICK_PRIOR)),
    Counted("residual networks", "gan", 2048),
    Counted("perceptrons", "vae_paper", 20000),
    Counted("perceptrons", "gan_paper", 20000),
    Counted("matrix", "rbm", 55000),
    Counted("perceptrons", "csgm", 20000, None, (*EPOCHS, *QUICK_PRIOR)),
)


def rows(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this subject."""
    limits: dict[torch.dtype, Product] = {}
    for network in NETWORKS:
        if effort.important and not network.important:
            continue
        n = effort.count(network.images, LEAST)
        words = [f"model={network.model}", "data=mnist", f"data.limit={n}", *network.words]
        used = precision(build(words)[1])
        dtype = torch.bfloat16 if used.startswith("bf16") else torch.float32
        if dtype not in limits:
            limits[dtype] = fastest(dtype, max(0.25, effort.share))
        yield row(network, words, used, limits[dtype], effort)


def row(network: Counted, words: list[str], used: str, limit: Product, effort: Effort) -> Row:
    """Compare the operations of a network's training step with those of the fastest product."""
    operations = operations_of(words, network.phase) / GIGA
    ours, other = in_turn(
        lambda: operations * rate_of(words, network.phase), lambda: limit.speed() / GIGA, effort.pairs
    )
    note = f"{operations:.3g} GFLOP for an image; {used}; the limit: {limit.name}"
    name = f"training, model={network.model}, {network.name}, against one large product"
    return Row(name, ours, other, "GFLOP/s", ours / other, network.goal, note)


class Operations(Callback):
    """A callback that counts the floating-point operations of the first step of a phase whose arithmetic is no longer checked.

    Args:
        phase: whose step is counted.

    Attributes:
        of_image: operations for each image; None until then. A training of one step has none: its arithmetic is checked.
    """

    def __init__(self, phase: str) -> None:
        self.phase = phase
        self.of_image: float | None = None
        self.counter: FlopCounterMode | None = None

    def on_train_batch_start(self, trainer: Any, method: Any, batch: Any, batch_idx: int) -> None:
        if (batch_idx or trainer.current_epoch) and method.phase == self.phase and self.of_image is None:
            self.counter = FlopCounterMode(display=False)
            self.counter.__enter__()

    def on_train_batch_end(self, trainer: Any, method: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.counter is not None:
            self.counter.__exit__(None, None, None)
            self.of_image = self.counter.get_total_flops() / len(batch.image)
            self.counter = None


def operations_of(words: list[str], phase: str) -> float:
    """Return the floating-point operations of a training step, for each image, as `torch.utils.flop_counter` counts them.

    Raises:
        Failed: the training has one step.
    """
    counting = Operations(phase)
    train([*words, "hardware.compile=false"], counting)  # what is compiled cannot be counted
    if counting.of_image is None:
        raise Failed(f"no step of {' '.join(words)} could be counted: it has one batch in one epoch")
    return counting.of_image
