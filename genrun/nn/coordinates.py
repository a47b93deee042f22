"""Coordinate networks: functions of an image's description and of a place in the image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genrun.nn.mlp import MLP, Init


def place_features(places: Tensor, octaves: int) -> Tensor:
    """Return the coordinates of places with their sines and cosines: (…, 2) → (…, 2 + 4·octaves).

        (p, q) ↦ (p, q, sin ω_j p, sin ω_j q, cos ω_j p, cos ω_j q, …),   ω_j = 2^j π/2,   j < octaves

    References:
        Tancik et al., Fourier features let networks learn high frequency functions in low dimensional domains, 2020.
    """
    angles = [2**octave * math.pi / 2 * places for octave in range(octaves)]
    return torch.cat([places, *(wave(angle) for angle in angles for wave in (torch.sin, torch.cos))], -1)


class JointNetwork(MLP):
    """One perceptron, which is computed anew at each place: (x, A) ↦ MLP([x, features of A]).

    Args:
        inputs: length of x, the description of an image.
        outputs: values at a place.
        hidden: widths of the hidden layers.
        octaves: see `place_features`.
        leaky_output, init: see `MLP`.
        place_scale: factor on the initial weights of A and its features.

    Shape: x (n, inputs), A (P, 2) or (n, P, 2) → (n, P, outputs).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: Sequence[int],
        octaves: int = 0,
        *,
        leaky_output: bool = False,
        init: Init = "he",
        place_scale: float = 1.0,
    ) -> None:
        super().__init__((inputs + 2 + 4 * octaves, *hidden, outputs), leaky_output=leaky_output, init=init)
        self.octaves = octaves
        with torch.no_grad():
            self[0].weight[:, inputs:] *= place_scale

    @property
    def first(self) -> nn.Linear:
        """The layer whose first inputs are x."""
        return self[0]

    def forward(self, of_image: Tensor, places: Tensor) -> Tensor:
        many = of_image.shape[0], places.shape[-2], -1
        places = place_features(places, self.octaves)
        return super().forward(torch.cat([of_image.unsqueeze(1).expand(many), places.expand(many)], 2))


class BasisNetwork(nn.Module):
    r"""Weights from the description of the image, and functions of the place that all images share.

        (x, A) ↦ b_c + K^-½ Σ_k z_ck(x) φ_k(A),   z = MLP(x),   φ = MLP(features of A)

    z is computed once for an image, and φ once for a place. So all pixels of an image cost less than a few of `JointNetwork`.

    Args:
        inputs, outputs, octaves, init: see `JointNetwork`.
        hidden: widths of the hidden layers of z.
        basis: K.
        place_hidden: widths of the hidden layers of φ.
        place_scale: factor on the initial weights of A and its features.

    Shape: x (n, inputs), A (P, 2) or (n, P, 2) → (n, P, outputs).

    References:
        Lu et al., Learning nonlinear operators via DeepONet, 2021 (z is its branch, φ its trunk).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: Sequence[int],
        basis: int,
        place_hidden: Sequence[int],
        octaves: int = 0,
        *,
        init: Init = "he",
        place_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.outputs, self.octaves = outputs, octaves
        self.of_image = MLP((inputs, *hidden, outputs * basis), init=init)
        self.of_place = MLP((2 + 4 * octaves, *place_hidden, basis), init=init)
        self.bias = nn.Parameter(torch.zeros(outputs))
        with torch.no_grad():
            self.of_place[0].weight *= place_scale

    @property
    def first(self) -> nn.Linear:
        """The layer whose first inputs are x."""
        return self.of_image[0]

    def forward(self, of_image: Tensor, places: Tensor) -> Tensor:
        z = self.of_image(of_image).unflatten(1, (self.outputs, -1))  # (n, outputs, K)
        phi = self.of_place(place_features(places, self.octaves))  # (P, K) or (n, P, K)
        return (z @ phi.mT).mT * phi.shape[-1] ** -0.5 + self.bias
