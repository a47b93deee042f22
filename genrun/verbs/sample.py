"""`genrun sample RUN`: draw new images from a finished run and write them to a file."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from genrun.data.labels import numbers_of
from genrun.errors import Refused
from genrun.runs.find import find_run
from genrun.verbs.arguments import (
    RUN,
    Arguments,
    check_drawing,
    check_new,
    free_path,
    need_torch,
    open_checked,
    output_path,
    outputs_folder,
)

if TYPE_CHECKING:
    from rich.console import Console
    from torch import Tensor

    from genrun.evaluation.judge import Judge
    from genrun.methods.method import Method
    from genrun.runs.open import OpenRun


def main(arguments: list[str]) -> int:
    """Draw new images and write them to a .png (a grid) or an .npz file; the run folder is not changed."""
    asked = parse(arguments)
    run = open_checked(asked.run, asked.overrides, asked.config_dir, trust=asked.trust)
    if asked.labels:
        asked.labels = labels_of(run, asked.labels)
    if asked.out:
        check_new(asked.out)
    need_torch()
    images, labels = draw(run, asked)
    if not images.isfinite().all():
        raise Refused(f"{asked.run}: its model draws images that are NaN or infinite: the weights are damaged")
    out = asked.out or free_path("samples", ".png")
    write(out, images, labels, scale=1 if asked.resolution else None)
    print(out)
    return 0


def parse(arguments: list[str]) -> Namespace:
    """Parse the command line; in the result `out` is a path or None.

    Raises:
        Refused: an option is wrong.
    """
    parser = Arguments(
        "genrun sample",
        description="Draw new images from a finished run; the run folder is not changed. Options of its model that do not change the "
        "weights can be set again, such as model/sampler=ddim model.sampler.steps=100 or model.guidance=2.",
    )
    parser.add_argument("run", metavar="RUN", help=RUN)
    parser.add_argument("overrides", nargs="*", metavar="model.option=value", help="an option of the run's model")
    parser.add_argument("--n", type=int, help="number of images (default: 100, or one for each label)")
    parser.add_argument(
        "--labels",
        help="names or numbers of classes, such as 2 or 2,0,2,6 or cat,dog, repeated up to --n images; an unconditional run "
        "draws until the reference classifier has found images of these classes",
    )
    parser.add_argument(
        "--confidence", type=float, help="lowest confidence of the reference classifier (default: 0.995)"
    )
    parser.add_argument(
        "--resolution", type=int, help="height and width in pixels, for a method that draws at any resolution"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", help="a .png (grid) or .npz (images, labels); default samples.png, or samples_2.png where that exists"
    )
    parser.add_argument("--config-dir", help="a folder of your own groups")
    parser.add_argument("--trust", action="store_true", help="also build classes that are not of genrun or torch")
    asked = parser.parse_intermixed_args(arguments)
    asked.overrides, outputs = outputs_folder(asked.overrides)
    asked.run = find_run(asked.run, outputs)
    place = output_path(asked.out or "samples.png", (".png", ".npz"))
    asked.out = place if asked.out else None
    for name in ("n", "resolution"):
        value = getattr(asked, name)
        if value is not None and value < 1:
            raise Refused(f"--{name}: expected at least 1, got {value}")
    if asked.confidence is not None and not 0 < asked.confidence <= 1:
        raise Refused(f"--confidence: expected more than 0 and at most 1, got {asked.confidence:g}")
    return asked


def labels_of(run: OpenRun, words: str) -> list[int]:
    """Return the class numbers that `--labels` asks for by names or numbers.

    Raises:
        Refused: the data of the run has no classes, or not these.
    """
    names = run.facts.class_names
    if not names:
        raise Refused(f"--labels: {run.folder.path}: its data has no classes to sort its images by; leave --labels out")
    return numbers_of([words] if words in names else words.split(","), names, "--labels")


def draw(run: OpenRun, asked: Namespace) -> tuple[Tensor, Tensor | None]:
    """Draw images as the options ask.

    Args:
        asked: the options from `parse`.

    Returns:
        images (n, C, H, W) in [0, 1], and their labels (n,); None instead of labels if there are none.

    Raises:
        Refused: the method does not support an option.
        Failed: too few images of a class were found.
    """
    import torch

    from genrun.inference import balanced_labels, sample_chunks, seeded
    from genrun.system.hardware import device_of
    from genrun.system.threads import set_threads
    from genrun.types import Continuous

    set_threads(None)  # not those of the machine that trained
    method = run.method(trust=asked.trust).to(device_of(run.config))
    check_drawing(method, asked.overrides)
    labels = asked.labels
    n = asked.n or (len(labels) if labels else 100)
    sorts = bool(labels) and not method.num_classes
    if asked.confidence is not None and not sorts:
        raise Refused("--confidence: is for --labels of an unconditional run, whose images are sorted by a classifier")
    if asked.resolution and sorts:
        raise Refused(
            f"--resolution: the images of {asked.run} are sorted at the resolution of its data; leave one out"
        )
    if asked.resolution and not isinstance(method, Continuous):
        raise Refused(f"--resolution: the method of {asked.run} draws at {method.image_shape[1:]} pixels only")
    wanted = torch.tensor([labels[i % len(labels)] for i in range(n)]) if labels else None
    if wanted is None and method.num_classes:
        wanted = balanced_labels(n, method.num_classes).sort().values  # a row for each class
    try:
        if sorts:
            return draw_by_classifier(run, method, wanted.tolist(), asked), wanted
        if asked.resolution:
            on_device = None if wanted is None else wanted.to(method.device)
            noise = seeded(asked.seed, device=method.device)
            return method.sample_at(n, asked.resolution, on_device, generator=noise).cpu(), wanted
        return torch.cat([chunk for chunk, _ in sample_chunks(method, n, asked.seed, labels=wanted)]), wanted
    except ValueError as error:
        raise Refused(str(error)) from error


def write(out: Path, images: Tensor, labels: Tensor | None, scale: int | None) -> None:
    """Write images as a grid (.png) or as arrays `images` and `labels` (.npz).

    Args:
        labels: (n,); None: -1 is written for each image.
        scale: each pixel is drawn scale × scale in the grid; None: the grid chooses a readable scale.

    Raises:
        Refused: the file cannot be written.
    """
    import numpy as np
    import torch

    from genrun.figures.grid import image_grid, png_bytes, to_uint8
    from genrun.system.files import atomic, write_atomic

    try:
        if out.suffix == ".png":
            write_atomic(out, png_bytes(image_grid(images, min(10, len(images)), scale=scale)))
        else:
            kept = torch.full((len(images),), -1) if labels is None else labels
            with atomic(out) as file:
                np.savez_compressed(file, images=to_uint8(images), labels=kept.numpy())
    except OSError as error:
        raise Refused(f"cannot write {out}: {error.strerror}") from error


def draw_by_classifier(run: OpenRun, method: Method, labels: list[int], asked: Namespace) -> Tensor:
    """Draw an image for each label from an unconditional method: draw until the reference classifier has found them all.

    This uses genrun.evaluation.rejection, and prints how many images were drawn.

    Args:
        labels: n class numbers.

    Returns:
        images (n, C, H, W), in the order of the labels.

    Raises:
        Refused: the data has fewer than two classes.
        Failed: too few images of a class were found.
    """
    names = run.facts.class_names
    if run.facts.num_classes < 2:
        raise Refused(f"--labels: {asked.run} is unconditional, and its data has no classes to sort its images by")

    from genrun.evaluation.rejection import CERTAIN, draw_classes
    from genrun.system.console import say, screen

    console = screen()
    judge = sorting_judge(run, console, trust=asked.trust)
    least = CERTAIN if asked.confidence is None else asked.confidence
    kept = draw_classes(method, labels, judge.classifier, names, console, asked.seed, least)
    say(
        console,
        f"an unconditional run: drew {kept.drawn:,} images for {len(labels):,}, each taken for its class by the reference classifier "
        f"with a confidence of {kept.confidences.min():.4f} at least",
    )
    return kept.images


def sorting_judge(run: OpenRun, console: Console, *, trust: bool) -> Judge:
    """Build a judge with the reference classifier that judged the run, or with the default one for its data if there was none.

    Raises:
        Refused: `judge_of` refuses the run, or its classifier is not trusted.
    """
    from omegaconf import OmegaConf

    from genrun.config.compose import compose
    from genrun.config.trust import TRUSTED_CLASSIFIER, check_trusted
    from genrun.verbs.judges import config_to_judge_by, judge_of

    here = compose(["evaluation=quick", "evaluation.epoch_samples=0"])
    if (recipe := OmegaConf.select(run.config, "evaluation.classifier")) is not None:
        if not trust:
            check_trusted(OmegaConf.to_container(recipe), "evaluation.classifier", TRUSTED_CLASSIFIER)
        here.evaluation.classifier = recipe
    return judge_of(run, config_to_judge_by(run, here), console, trust=trust)
