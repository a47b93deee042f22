"""Images on their way to noise, and pictures opened again."""

from __future__ import annotations

import io

import torch
from PIL import Image


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def noised(images: torch.Tensor, frames: int, generator: torch.Generator) -> torch.Tensor:
    """(n, C, H, W) → (frames, n, C, H, W), from the images to Gaussian noise."""
    times = torch.linspace(0, torch.pi / 2, frames)
    noise = torch.randn(frames, *images.shape, generator=generator)
    return torch.stack([(2 * images - 1) * t.cos() + e * t.sin() for t, e in zip(times, noise, strict=True)]) / 2 + 0.5
