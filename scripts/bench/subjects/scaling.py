"""How time and memory grow with the size of the data, the images, the batch, and with particles, components, jobs and runs.

Each row gives the exponent k of cost ∝ size^k at the largest sizes; 1 is linear.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from scripts.bench.effort import Effort
from scripts.bench.measuring import done, processor_seconds, seconds_of
from scripts.bench.rows import Row, growth
from scripts.bench.subjects import leaderboard, mixtures, nota, sweeps
from scripts.bench.trainings import QUICK_PRIOR
from scripts.bench.trial import trial

HELD_OUT = 10
DATA = ("data=synthetic", f"data.validation={HELD_OUT}", "trainer.limit_val_batches=0")
STEPS = 12  # of an epoch, whatever its batch: each then carries the same share of the fixed cost of an epoch
CODES = 20000  # of the mixtures
# why a cost grows faster than what it is measured against
ATTENTION = "the lowest level of the U-Net has attention, whose cost is the square of its pixels"
WEIGHTS = "each pixel is a visible unit with weights of its own"


def rows(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this subject."""
    yield from by_image_size(effort)
    yield from by_batch(effort)
    yield from by_particles(effort)
    yield by_components(effort)
    yield from by_jobs(effort)
    yield from by_runs(effort)
    yield from by_data(effort)  # the longest


def of_trials(
    name: str, sizes: Sequence[int], words: Callable[[int], list[str]], images: Callable[[int], int], note: str = ""
) -> Iterator[Row]:
    """Train at each size; give the growth of the time and of the peak memory.

    Args:
        words: size → words of the training.
        images: size → images whose seconds are measured.
    """
    found = [trial(words(size)) for size in sizes]
    seconds = [images(size) / one.rate for size, one in zip(sizes, found, strict=True)]
    yield growth(f"{name}, time", sizes, seconds, "s", note)
    yield growth(f"{name}, peak memory", sizes, [one.peak for one in found], "GiB", note)


def all_of_them(size: int) -> int:
    """Return the images of an epoch, or of a batch, of this size."""
    return size


def one_image(size: int) -> int:
    """Return 1, whatever the size of the image."""
    return 1


def by_data(effort: Effort) -> Iterator[Row]:
    """Measure an epoch of 10³ to 10⁶ images of 28×28 in memory."""
    sizes = effort.sizes(10**3, 10**4, 10**5, 10**6)

    def words(number: int, model: str = "rbm", own: Sequence[str] = ()) -> list[str]:
        return [f"model={model}", *DATA, f"data.source.number={number}", "trainer.max_epochs=2", *own]

    yield from of_trials("an epoch of model=rbm, images", sizes, words, all_of_them)
    if effort.share == 1:
        csgm = lambda number: words(number, "csgm", QUICK_PRIOR)  # noqa: E731
        yield from of_trials(
            "an epoch of model=csgm, which keeps a code for each image, images", sizes, csgm, all_of_them
        )


def by_image_size(effort: Effort) -> Iterator[Row]:
    """Measure the time of an image and the memory with 8×8 to 128×128 pixels."""
    batch, batches = 32, STEPS
    for model, extra, note in (
        ("vae", QUICK_PRIOR, ""),
        ("ddpm", (), ATTENTION),
        ("csgm", QUICK_PRIOR, ""),
        ("rbm", (), WEIGHTS),
    ):
        sizes = effort.sizes(8, 16, 32, 64, 128)

        def words(pixels: int, model: str = model, extra: Sequence[str] = extra) -> list[str]:
            side = f"data.source.side={round(pixels**0.5)}"
            limits = (f"data.limit={batches * batch}", "trainer.max_epochs=2", f"data.batch_size={batch}")
            return [f"model={model}", *DATA, side, *limits, *extra]

        yield from of_trials(f"an image of model={model}, pixels", [side**2 for side in sizes], words, one_image, note)


def by_batch(effort: Effort) -> Iterator[Row]:
    """Measure a step with batches of 8 to 1,024 images."""
    for model, extra, sizes in (
        ("vae", QUICK_PRIOR, effort.sizes(16, 64, 256, 1024)),
        ("ddpm", (), effort.sizes(8, 32, 128)),
    ):

        def words(batch: int, model: str = model, extra: Sequence[str] = extra) -> list[str]:
            own = (f"data.source.number={STEPS * batch + HELD_OUT}", f"data.batch_size={batch}")
            return [f"model={model}", *DATA, *own, "trainer.max_epochs=2", *extra]

        yield from of_trials(f"a step of model={model}, images of its batch", sizes, words, all_of_them)


def by_particles(effort: Effort) -> Iterator[Row]:
    """Measure a step of NOTA with more and more particles, and with more and more slices."""
    counts, slices = effort.sizes(1000, 10_000, 100_000, 300_000), effort.sizes(16, 64, 256, 784)
    yield growth("a step of NOTA, 64 slices, particles", counts, [nota.step_seconds(n, 64) for n in counts], "s")
    few = effort.count(10_000, 1000)
    seconds = [nota.step_seconds(few, n) for n in slices]
    yield growth("a step of NOTA, slices", slices, seconds, "s", f"{few:,} particles")


def by_components(effort: Effort) -> Row:
    """Measure the fit of a prior of ten classes with more and more Gaussians."""
    counts, n = effort.sizes(10, 50, 250), effort.count(CODES, 1000)
    codes = torch.randn(n, mixtures.CODE_SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(n) % 10
    seconds = [mixtures.seconds_to_fit(codes, labels, count) for count in counts]
    note = f"{n:,} normal codes; the number of EM steps differs, too"
    return growth("a fit of Gaussians to codes of ten classes, Gaussians of a class", counts, seconds, "s", note)


def by_jobs(effort: Effort) -> Iterator[Row]:
    """Measure all jobs of a sweep, and the processor time of saying what it would do."""
    with tempfile.TemporaryDirectory() as folder:
        counts = effort.sizes(4, 16, 64)
        seconds = [seconds_of(lambda n=n: done(sweeps.command(Path(folder) / str(n), n))) for n in counts]
        yield growth("a local sweep of tiny runs, jobs", counts, seconds, "s")
        counts = effort.sizes(10, 100, 1000)
        listed = [processor_seconds([*sweeps.command(Path(folder), n), "--dry-run"], 1) for n in counts]
        yield growth("genrun -m … --dry-run, jobs", counts, listed, "s")


def by_runs(effort: Effort) -> Iterator[Row]:
    """Measure the processor time of `genrun list` and `genrun compare` with more and more runs."""
    counts = effort.sizes(10, 100, 500, 2000)
    seconds: dict[str, list[float]] = {verb: [] for verb in leaderboard.VERBS}
    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(folder) / "outputs"
        for count in counts:
            leaderboard.add_runs(outputs, count)
            for verb in leaderboard.VERBS:
                seconds[verb].append(leaderboard.seconds_to(verb, outputs))
    for verb in leaderboard.VERBS:
        yield growth(f"genrun {verb}, runs", counts, seconds[verb], "s")
