"""`genrun sample RUN`: new images from a finished run."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from genrun.errors import Refused
from genrun.verbs import Arguments, output

if TYPE_CHECKING:
    from rich.console import Console
    from torch import Tensor

    from genrun.evaluation.judge import Judge
    from genrun.methods.method import Method
    from genrun.open import OpenRun


def main(arguments: list[str]) -> int:
    """New images as a PNG grid or an npz, outside the run folder."""
    parser = Arguments(
        "genrun sample",
        description="New images from a finished run; the run folder is not changed. What does not touch the weights may be said anew, "
        "such as model/sampler=ddim model.sampler.steps=100 or model.guidance=2.",
    )
    parser.add_argument("run", help="a run folder")
    parser.add_argument("overrides", nargs="*", metavar="model.option=value", help="of the run's own model")
    parser.add_argument("--n", type=int, help="number of images (default: 100, or one for each label)")
    parser.add_argument(
        "--labels",
        help="classes by number, such as 2 or 2,0,2,6; repeated up to --n; an unconditional run draws until the reference classifier "
        "has found them",
    )
    parser.add_argument("--confidence", type=float, help="of that classifier, at least (default: 0.995)")
    parser.add_argument("--resolution", type=int, help="pixels, of a method that draws at any resolution")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", default="samples.png", help="a .png (grid) or .npz (images, labels); default samples.png"
    )
    parser.add_argument("--trust", action="store_true", help="build classes from elsewhere than genrun and torch")
    asked = parser.parse_intermixed_args(arguments)
    out = output(asked.out, (".png", ".npz"))
    for name in ("n", "resolution"):
        value = getattr(asked, name)
        if value is not None and value < 1:
            raise Refused(f"--{name}: expected at least 1, got {value}")
    if asked.confidence is not None and not 0 < asked.confidence <= 1:
        raise Refused(f"--confidence: expected more than 0 and at most 1, got {asked.confidence:g}")
    labels = None
    if asked.labels:
        try:
            labels = [int(part) for part in asked.labels.split(",")]
        except ValueError:
            raise Refused(f"--labels {asked.labels}: expected class numbers such as 2,0,2,6") from None

    import numpy as np
    import torch

    from genrun.figures.grid import image_grid, png_bytes, to_uint8
    from genrun.hardware import device_of
    from genrun.open import open_run
    from genrun.runs import atomic, write_atomic
    from genrun.sampling import balanced_labels, sample_chunks, seeded
    from genrun.types import Continuous

    run = open_run(asked.run)
    run.override(asked.overrides)
    method = run.method(trust=asked.trust).to(device_of(run.config))
    n = asked.n or (len(labels) if labels else 100)
    sorts = bool(labels) and not method.num_classes
    if asked.confidence is not None and not sorts:
        raise Refused("--confidence: is for --labels of an unconditional run, whose images are sorted by a classifier")
    if asked.resolution and sorts:
        raise Refused(
            f"--resolution: the images of {asked.run} are sorted at the resolution of its data; leave one out"
        )
    wanted = torch.tensor([labels[i % len(labels)] for i in range(n)]) if labels else None
    if wanted is None and method.num_classes:
        wanted = balanced_labels(n, method.num_classes).sort().values  # a row for each class
    if asked.resolution and not isinstance(method, Continuous):
        raise Refused(f"--resolution: the method of {asked.run} draws at {method.image_shape[1:]} pixels only")
    try:
        if sorts:
            images = drawn_and_sorted(run, method, wanted.tolist(), asked)
        elif asked.resolution:
            here = None if wanted is None else wanted.to(method.device)
            noise = seeded(asked.seed, device=method.device)
            images = method.sample_at(n, asked.resolution, here, generator=noise).cpu()
        else:
            images = torch.cat([chunk for chunk, _ in sample_chunks(method, n, asked.seed, labels=wanted)])
    except ValueError as error:
        raise Refused(str(error)) from error
    try:
        if out.suffix == ".png":
            columns = min(10, n)
            write_atomic(out, png_bytes(image_grid(images, columns, scale=1 if asked.resolution else None)))
        else:
            with atomic(out) as file:
                kept = torch.full((n,), -1) if wanted is None else wanted
                np.savez_compressed(file, images=to_uint8(images), labels=kept.numpy())
    except OSError as error:
        raise Refused(f"cannot write {out}: {error.strerror}") from error
    print(out)
    return 0


def drawn_and_sorted(run: OpenRun, method: Method, labels: list[int], asked: Namespace) -> Tensor:
    """An image (n, C, H, W) for each label, of a method that takes none: see genrun.evaluation.rejection. Says what it took.

    Raises:
        Refused: the data has no classes, or not these.
        Failed: a class does not come.
    """
    names = run.facts.class_names
    if run.facts.num_classes < 2:
        raise Refused(f"--labels: {asked.run} is unconditional, and its data has no classes to sort its images by")
    if not (min(labels) >= 0 and max(labels) < len(names)):
        raise Refused(f"--labels: expected labels from 0 to {len(names) - 1}, got {min(labels)} to {max(labels)}")

    from genrun.evaluation.rejection import CERTAIN, draw_classes
    from genrun.run import screen

    console = screen()
    judge = sorting_judge(run, console, trust=asked.trust)
    least = CERTAIN if asked.confidence is None else asked.confidence
    kept = draw_classes(method, labels, judge.classifier, names, console, asked.seed, least)
    console.print(
        f"an unconditional run: drew {kept.drawn:,} images for {len(labels):,}, each taken for its class by the reference classifier "
        f"with a confidence of {kept.confidences.min():.4f} at least",
        highlight=False,
        soft_wrap=True,
    )
    return kept.images


def sorting_judge(run: OpenRun, console: Console, *, trust: bool) -> Judge:
    """A judge with the reference classifier that the run was judged by, or that of its data where it was judged by none.

    Raises:
        Refused: as `judge_of`.
    """
    from omegaconf import OmegaConf

    from genrun.build import TRUSTED_CLASSIFIER, check_trusted
    from genrun.cli import compose
    from genrun.verbs.evaluate import judge_of

    here = compose(["evaluation=quick", "evaluation.epoch_samples=0"])
    if (recipe := OmegaConf.select(run.config, "evaluation.classifier")) is not None:
        if not trust:
            check_trusted(OmegaConf.to_container(recipe), "evaluation.classifier", TRUSTED_CLASSIFIER)
        here.evaluation.classifier = recipe
    return judge_of(run, here, console, trust=trust)
