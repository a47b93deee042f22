"""Train in this process, and write the time, the images so far and the number of threads: what the subject `beside` starts."""

from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.callbacks import Callback
from rich.console import Console

from genrun.config.compose import compose
from genrun.run import run
from genrun.system.hardware import cores
from genrun.system.turns import turns

EVERY = 0.05  # seconds between two lines


class Clock(Callback):
    """A callback that writes a line after some batches, and ends the process when the bench is gone."""

    def __init__(self, out: Any) -> None:
        self.out, self.images, self.last, self.parent = out, 0, 0.0, os.getppid()

    def on_train_batch_end(self, trainer: Any, method: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if os.getppid() != self.parent:
            os._exit(1)
        self.images += len(batch.image)
        if (now := time.monotonic()) - self.last > EVERY:
            self.last = now
            print(now, self.images, torch.get_num_threads(), file=self.out, flush=True)


def main(file: str, plain: bool, words: list[str]) -> None:
    """Train.

    Args:
        file: gets the lines.
        plain: whether to use a thread for each core and take no turns.
        words: of the configuration.
    """
    if plain:
        words = [*words, f"hardware.threads={cores()}"]
        turns.skips_until = math.inf
    words = [*words, "run.resume=never", f"run.name={Path(file).stem}"]
    with open(file, "a") as out:
        run(compose(words), words, Console(quiet=True), callbacks=[Clock(out)])


if __name__ == "__main__":
    main(sys.argv[1], bool(int(sys.argv[2])), sys.argv[3:])
