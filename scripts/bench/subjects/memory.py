"""Start and peak memory of a run of each method on MNIST, in processes of their own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

from scripts.bench.effort import Effort
from scripts.bench.measuring import GENRUN, WORDS, peak_memory
from scripts.bench.rows import Row
from scripts.bench.trainings import ONE_EPOCH, QUICK_PRIOR, UNCHECKED, phases_of_regene
from scripts.bench.trial import trial

IMAGES = 5000  # of an epoch; the memory of a training does not depend on how long it is
IMPORTANT = ("vae",)


def rows(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this subject."""
    n = effort.count(IMAGES, 1000)
    for model, words in methods(effort).items():
        if effort.important and model not in IMPORTANT:
            continue
        found = trial([f"model={model}", "data=mnist", f"data.limit={n}", *words])
        yield Row(f"model={model}, processor time from the command to the first step", found.first_step)
        yield Row(f"model={model}, peak memory of a training", found.peak, unit="GiB", note=f"{n:,} images")
    if not effort.important:
        yield whole(effort.count(55000, 1000))


def methods(effort: Effort) -> dict[str, tuple[str, ...]]:
    """Return each method with words that leave its training as it is and make what follows short."""
    return {
        **dict.fromkeys(("csgm", "vae", "autoencoder"), (*ONE_EPOCH, *QUICK_PRIOR)),
        **dict.fromkeys(("rbm", "gan", "ddpm", "flow_matching"), ONE_EPOCH),
        "regene": (*UNCHECKED, *phases_of_regene(1)),
        "nota": (*ONE_EPOCH, f"model.particles={effort.count(60000, 2000)}"),
    }


def whole(images: int) -> Row:
    """Measure a whole run of the VAE, with prior, samples, figures and judge."""
    with tempfile.TemporaryDirectory() as outputs:
        words = ["model=vae", "data=mnist", f"data.limit={images}", "trainer.max_epochs=1", f"paths.outputs={outputs}"]
        peak = peak_memory([*GENRUN, *words, *WORDS])
    name = "model=vae, peak memory of a whole run on MNIST, with its judge"
    return Row(name, peak, unit="GiB", goal=1, note=f"{images:,} images")
