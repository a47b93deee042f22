"""`genrun sample RUN`: new images from a finished run."""

from __future__ import annotations

from genrun.errors import Refused
from genrun.verbs import Arguments, output


def main(arguments: list[str]) -> int:
    """New images as a PNG grid or an npz, outside the run folder."""
    parser = Arguments("genrun sample", description="New images from a finished run; the run folder is not changed.")
    parser.add_argument("run", help="a run folder")
    parser.add_argument("--n", type=int, help="number of images (default: 100, or one for each label)")
    parser.add_argument("--labels", help="classes by number, such as 2 or 2,0,2,6; repeated up to --n")
    parser.add_argument("--resolution", type=int, help="pixels, of a method that draws at any resolution")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", default="samples.png", help="a .png (grid) or .npz (images, labels); default samples.png"
    )
    parser.add_argument("--trust", action="store_true", help="build classes from elsewhere than genrun and torch")
    asked = parser.parse_args(arguments)
    out = output(asked.out, (".png", ".npz"))
    for name in ("n", "resolution"):
        value = getattr(asked, name)
        if value is not None and value < 1:
            raise Refused(f"--{name}: expected at least 1, got {value}")
    labels = None
    if asked.labels:
        try:
            labels = [int(part) for part in asked.labels.split(",")]
        except ValueError:
            raise Refused(f"--labels {asked.labels}: expected class numbers such as 2,0,2,6") from None

    import numpy as np
    import torch

    from genrun.figures.grid import image_grid, png_bytes, to_uint8
    from genrun.open import open_run
    from genrun.runs import atomic, write_atomic
    from genrun.sampling import balanced_labels, seeded
    from genrun.types import Continuous

    method = open_run(asked.run).method(trust=asked.trust)
    n = asked.n or (len(labels) if labels else 100)
    if labels and not method.num_classes:
        raise Refused(f"--labels: {asked.run} is unconditional and takes none")
    wanted = torch.tensor([labels[i % len(labels)] for i in range(n)]) if labels else None
    if wanted is None and method.num_classes:
        wanted = balanced_labels(n, method.num_classes).sort().values  # a row for each class
    if asked.resolution and not isinstance(method, Continuous):
        raise Refused(f"--resolution: the method of {asked.run} draws at {method.image_shape[1:]} pixels only")
    generator = seeded(asked.seed)
    try:
        images = (
            method.sample_at(n, asked.resolution, wanted, generator=generator)
            if asked.resolution
            else method.sample(n, wanted, generator=generator)
        )
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
