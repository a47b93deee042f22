"""The adversarial losses that any discriminator with one output can have, by the names of their YAML."""

from __future__ import annotations

from genrun.maths.adversarial import Hinge, LeastSquares, NonSaturating, Relativistic, Wasserstein

LOSSES = {
    "non_saturating": NonSaturating,
    "least_squares": LeastSquares,
    "hinge": Hinge,
    "wasserstein": Wasserstein,
    "relativistic": Relativistic,
}
