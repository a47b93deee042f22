"""Draw what polynomial maps do with new draws outside the values that they were fitted to, on the Swiss roll (NOTA, "Extrapolation risk").

    python scripts/nota_extrapolation.py extrapolation.png

A flow of 60 steps is fitted to 1,000 particles, once with polynomials of degree 6 and once of degree 9. New draws go through it with
two ways to go on outside the support. It also shows that the flow works without the rest of genrun.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from genrun.data.sources import swiss_roll
from genrun.figures.grid import png_bytes
from genrun.figures.points import point_clouds
from genrun.maths.transport import GenFlow, Linear, Polynomial, random_directions, sliced_wasserstein

PARTICLES, DRAWS, STEPS = 1000, 2000, 60


def main() -> None:
    points = swiss_roll().train.array.flatten(1).float() / 255  # (N, 3)
    slices = random_directions(200, 3, torch.Generator().manual_seed(0))
    clouds = {"data": points[:DRAWS].numpy()}
    for degree in (6, 9):
        flow = GenFlow([Linear(STEPS, Polynomial(degree))], PARTICLES).fit(points)
        for extrapolate in ("free", "clamp"):
            flow.extrapolate = extrapolate
            draws = flow.sample(DRAWS, generator=torch.Generator().manual_seed(1)).flatten(1)
            inside = ((draws - 0.5).abs() <= 1).all(1)  # false for NaN, too
            distance = sliced_wasserstein(draws[inside].T, points.T, slices).item()
            far = f"{int((~inside).sum())} of {DRAWS:,} draws far outside"
            print(f"degree {degree}, {extrapolate}: {far}; distance of the others {distance:.4f}")
            clouds[f"degree {degree}, {extrapolate}"] = draws[inside].numpy()
    Path(sys.argv[1]).write_bytes(png_bytes(point_clouds(clouds)))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main()
