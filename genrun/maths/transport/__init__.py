"""Flows without gradients: random projections and one-dimensional maps. They work on any array, without the rest of genrun.

from genrun.maths.transport import GenFlow, Linear
flow = GenFlow([Linear(steps=50)]).fit(data)
"""

from genrun.maths.transport.conv import Conv
from genrun.maths.transport.directions import haar, largest_slices, random_directions, sliced_wasserstein
from genrun.maths.transport.flow import GenFlow
from genrun.maths.transport.layers import Layer, Linear, Tiled
from genrun.maths.transport.marginal_maps import MarginalMap, Monotone, Polynomial
from genrun.maths.transport.starts import Mixture, StandardNormal, Start

__all__ = [
    "Conv",
    "GenFlow",
    "Layer",
    "Linear",
    "MarginalMap",
    "Mixture",
    "Monotone",
    "Polynomial",
    "StandardNormal",
    "Start",
    "Tiled",
    "haar",
    "largest_slices",
    "random_directions",
    "sliced_wasserstein",
]
