"""The layer of overlapping patches."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from genrun.maths.transport.directions import haar
from genrun.maths.transport.layers import PROJECTED, Layer, Shape, step_generator
from genrun.maths.transport.marginal_maps import Extrapolate, MarginalMap

Rebuild = Literal["centre", "median"]

POOLED = 2**18  # values to which the map of overlapping patches is fitted, at most


class Conv(Layer):
    r"""Steps on all overlapping patches, which share a rotation and maps (NOTA's layer "Conv").

    Every pixel has the patch around it, with zeros beyond the edges. The patches of all places are one set of points. They are rotated,
    their marginals are carried to those of the data's patches, and they are turned back. The image is rebuilt from them:

        from the centre of each patch                `centre`
        by the median of what all patches say        `median`

    Args:
        patch: height and width of a patch, an odd number.
        rebuild: as above.
        steps, map, size: see `Layer`.
    """

    def __init__(
        self,
        patch: int,
        steps: int = 1,
        map: MarginalMap | None = None,
        size: float | None = None,
        rebuild: Rebuild = "centre",
    ) -> None:
        super().__init__(steps, map, size)
        if patch < 1 or patch % 2 == 0:
            raise ValueError(f"patch: expected an odd number for patches around a pixel, got {patch}")
        if rebuild not in ("centre", "median"):
            raise ValueError(f"rebuild: expected centre or median, got {rebuild}")
        self.patch, self.rebuild = patch, rebuild

    def check(self, shape: Shape) -> None:
        if self.patch > min(shape[1:]):
            raise ValueError(f"patch={self.patch}: the image has only {shape[1]}×{shape[2]} pixels")

    def kernels(self, shape: Shape, seed: int, layer: int, step: int, like: Tensor) -> Tensor:
        """Return the rotation of a step as kernels of a convolution: (C·p·p, C, p, p)."""
        d = shape[0] * self.patch**2
        R = haar(1, d, d, step_generator(seed, layer, step), like.dtype)[0]
        return R.view(d, shape[0], self.patch, self.patch).to(like.device)

    def fit_step(self, x: Tensor, data: Tensor, shape: Shape, seed: int, layer: int, extrapolate: Extrapolate) -> None:
        R = self.kernels(shape, seed, layer, self.fitted, x)
        most = max(1, POOLED // (shape[1] * shape[2]))
        generator = step_generator(seed, layer, self.fitted)
        some = [
            points[:, torch.randperm(points.shape[1], generator=generator)[:most].to(points.device)]
            for points in (x, data)
        ]
        axes = max(1, PROJECTED // (shape[1] * shape[2] * max(points.shape[1] for points in some)))
        fitted = []
        for kernels in R.split(axes):
            of_x, of_data = (self.pooled(self.projected(points.T.reshape(-1, *shape), kernels)) for points in some)
            fitted.append(self.fit_maps(of_x, of_data))
        self.keep(torch.cat(fitted))
        self.apply_step(x, self.fitted - 1, shape, seed, layer, extrapolate)

    def apply_step(self, x: Tensor, step: int, shape: Shape, seed: int, layer: int, extrapolate: Extrapolate) -> None:
        R, maps = self.kernels(shape, seed, layer, step, x), self.maps[step].to(x)
        for part in x.split(max(1, PROJECTED // (len(R) * shape[1] * shape[2])), 1):
            images = part.T.reshape(-1, *shape)
            y = self.projected(images, R)  # (m, d, H, W)
            change = self.change_by_maps_(self.pooled(y), maps, extrapolate)
            change = change.view(len(R), len(images), *shape[1:]).transpose(0, 1)
            part.copy_(self.rebuilt(images, change, R).flatten(1).T)

    def projected(self, images: Tensor, kernels: Tensor) -> Tensor:
        """Return the coordinates of all patches: (m, C, H, W) → (m, K, H, W)."""
        return F.conv2d(images, kernels, padding=self.patch // 2)

    @staticmethod
    def pooled(y: Tensor) -> Tensor:
        """Return each coordinate of all patches of all images as a row: (m, K, H, W) → (K, m·H·W)."""
        return y.transpose(0, 1).reshape(y.shape[1], -1)

    def rebuilt(self, images: Tensor, change: Tensor, R: Tensor) -> Tensor:
        """Return images (m, C, H, W) rebuilt from their patches, whose coordinates change by (m, d, H, W)."""
        p, middle = self.patch, self.patch // 2
        if self.rebuild == "centre":
            return images + torch.einsum("mkhw,kc->mchw", change, R[:, :, middle, middle])
        m, C, H, W = images.shape
        # by the patch around (h, w), of its pixel (i, j)
        said = F.unfold(images, p, padding=middle).view(m, C, p, p, H, W)
        said = said + torch.einsum("mkhw,kcij->mcijhw", change, R)
        of_pixel = images.new_full((p * p, m, C, H, W), math.nan)
        for i in range(p):
            for j in range(p):
                down, right = i - middle, j - middle  # that pixel is (h + down, w + right)
                to = [slice(max(0, by), side + min(0, by)) for by, side in ((down, H), (right, W))]
                of = [slice(max(0, -by), side + min(0, -by)) for by, side in ((down, H), (right, W))]
                of_pixel[i * p + j][..., to[0], to[1]] = said[:, :, i, j, of[0], of[1]]
        return of_pixel.nanmedian(0).values
