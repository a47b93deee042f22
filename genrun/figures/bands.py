"""Figures of images and of what was made of them: named bands, some with a coloured frame, and a table of all pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw
from torch import Tensor

from genrun.figures.grid import HEIGHT, INK, PAPER, WIDTH, font, image_grid

BLUE, ORANGE, GREEN = (31, 95, 153), (224, 123, 0), (44, 140, 60)
FRAME = 3  # pixels, width of a frame
SPACE = 10  # pixels between groups of bands


class Band(NamedTuple):
    """A row of images, its name, and the colour of its frame; None: no frame."""

    name: str
    images: Tensor  # (columns, C, H, W) in [0, 1]
    frame: tuple[int, int, int] | None = None


def bands(groups: Sequence[Sequence[Band]], column_names: Sequence[str] = ()) -> Image.Image:
    """Draw bands below each other, with white between the groups.

    Args:
        groups: at least one band; all have equally many images of one shape.
        column_names: one name per column, written above those columns that are wide enough; empty: no names.

    Raises:
        ValueError: no band, bands of different shapes, or a wrong number of names.
    """
    rows = [band for group in groups for band in group]
    shapes = {tuple(band.images.shape) for band in rows}
    if len(shapes) != 1 or (column_names and len(column_names) != len(rows[0].images)):
        raise ValueError(
            f"expected bands of one shape and a name per column, got shapes {shapes or 'of no band'} and {len(column_names)} names"
        )
    (columns, _, height, width) = shapes.pop()
    scale = max(1, min(round(WIDTH / (columns * width)), HEIGHT // (len(rows) * height)))
    face = font(12)
    left = 10 + int(max(face.getlength(band.name) for band in rows)) + 10
    across, down = columns * (scale * width + 1) + 1, scale * height + 2 + 2 * FRAME
    named = bool(column_names) and max(map(face.getlength, column_names)) <= scale * width
    top = (24 if named else 8) + FRAME
    size = (left + across + 10, top + len(rows) * down + (len(groups) - 1) * SPACE + 4)
    sheet = Image.new("RGB", size, (PAPER,) * 3)
    draw = ImageDraw.Draw(sheet)
    for k, name in enumerate(column_names if named else ()):
        centre = left + 1 + k * (scale * width + 1) + scale * width / 2
        draw.text((centre, 15), name, (INK,) * 3, face, anchor="mm")
    for group in groups:
        for band in group:
            framed(sheet, image_grid(band.images, columns, scale=scale), (left, top), band.frame)
            draw.text((left - 10, top + scale * height / 2), band.name, (INK,) * 3, face, anchor="rm")
            top += down
        top += SPACE
    return sheet


def matrix(above: Tensor, beside: Tensor, cells: Tensor) -> Image.Image:
    """Draw images along the top and along the left, in orange frames, and what was made of each pair in between.

    As figures 8 to 11 of ReGene.

    Args:
        above, beside: (columns, C, H, W) and (rows, C, H, W) in [0, 1].
        cells: (rows·columns, C, H, W), row by row.

    Raises:
        ValueError: the number of cells is not rows·columns.
    """
    columns, rows = len(above), len(beside)
    if len(cells) != rows * columns:
        raise ValueError(f"expected {rows}·{columns} cells, got {len(cells)}")
    height, width = above.shape[2:]
    scale = max(1, min(round(WIDTH / ((columns + 1) * width)), HEIGHT // ((rows + 1) * height)))
    grids = [
        image_grid(images, across, scale=scale) for images, across in ((above, columns), (beside, 1), (cells, columns))
    ]
    left, top = SPACE + grids[1].width + SPACE, SPACE + grids[0].height + SPACE
    size = (left + grids[2].width + SPACE, top + grids[2].height + SPACE)
    sheet = Image.new("RGB", size, (PAPER,) * 3)
    framed(sheet, grids[0], (left, SPACE), ORANGE)
    framed(sheet, grids[1], (SPACE, top), ORANGE)
    framed(sheet, grids[2], (left, top), None)
    return sheet


def framed(sheet: Image.Image, grid: Image.Image, place: tuple[int, int], colour: tuple[int, int, int] | None) -> None:
    """Put a grid on a sheet, its top left corner at (x, y), and draw a frame around it if there is a colour."""
    sheet.paste(grid.convert("RGB"), place)
    if colour is not None:
        (x, y), draw = place, ImageDraw.Draw(sheet)
        box = (x - FRAME, y - FRAME, x + grid.width + FRAME - 1, y + grid.height + FRAME - 1)
        draw.rectangle(box, outline=colour, width=FRAME)
