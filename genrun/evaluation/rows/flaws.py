"""Rows of flaws that a single image shows: a background that real images do not have, and blur."""

from __future__ import annotations

from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from genrun.evaluation.cache import as_tensors
from genrun.evaluation.ladders import has_background
from genrun.evaluation.real import RealImages
from genrun.evaluation.rows.row import Row

TRAIN = 10_000  # training images at most that say what is real
RARE = 0.001  # share of training images with a lighter background, or less sharp: beyond, an image is flawed
VISIBLE = 1.0  # of 255: a background must be lighter than that of real images by so much


def flaw_rows(real: RealImages, images: Tensor) -> list[Row]:
    """Return rows of the share of samples with a light background, if the data has a dark one, and of blurred samples.

    The floor is the share among test images.

    Args:
        images: the samples (n, C, H, W) uint8.
    """

    def of_real() -> dict[str, Tensor]:
        train, test = (real.images(split, TRAIN).decoded().array for split in ("train", "test"))
        lightest = background(train).quantile(1 - RARE).item() + VISIBLE
        least = sharpness(train).quantile(RARE).item()
        return as_tensors(
            {
                "dark": float(has_background(train)),
                "lightest": lightest,
                "least": least,
                "light": (background(test) > lightest).double().mean().item(),
                "blurred": (sharpness(test) < least).double().mean().item(),
                "level": background(test).mean().item(),
            }
        )

    known = {name: value.item() for name, value in real.statistics("flaws", of_real).items()}
    count, rows = len(images), []
    if known["dark"]:
        levels = background(images)
        rows.append(
            Row(
                "samples with a grey background",
                (levels > known["lightest"]).double().mean().item(),
                known["light"],
                count=count,
                protocol=f"darkest half of the pixels above {known['lightest']:.1f} of 255",
                note=f"on average {levels.mean():.1f} of 255, real images {known['level']:.1f}",
                best="low",
            )
        )
    rows.append(
        Row(
            "blurred samples",
            (sharpness(images) < known["least"]).double().mean().item(),
            known["blurred"],
            count=count,
            protocol=f"less fine detail than {1 - RARE:.1%} of training images",
            best="low",
        )
    )
    return rows


def background(images: Tensor) -> Tensor:
    """Return the mean of the darker half of the pixels of images (n, C, H, W) uint8, of 255: (n,)."""
    values = images.float().mean(1).flatten(1).sort(1).values
    return values[:, : values.shape[1] // 2].mean(1)


def sharpness(images: Tensor) -> Tensor:
    """Return the share of the energy of images (n, C, H, W) uint8 that a slight blur removes: (n,); 0 for even images."""
    floats = images.float()
    fine = (floats - gaussian_blur(floats, [5, 5], [1.0, 1.0])).square().mean((1, 2, 3))
    whole = (floats - floats.mean((2, 3), keepdim=True)).square().mean((1, 2, 3))
    return fine / whole.clamp_min(1e-6)
