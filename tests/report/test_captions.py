"""What is seen on each figure."""

from __future__ import annotations

import ast
from pathlib import Path

import genrun
from genrun.report.captions import CAPTIONS, caption_of

STAGES = Path(genrun.__file__).parent / "stages"
# names that are put together: f"{name}.gif" in trajectory_figures, f"{LARGE_PIXELS}px.png" in continuous_figures
COMPOSED = {"denoising", "sampling", "300px"}


def drawn() -> set[str]:
    """The names of all pictures that the code of the stages writes, but for the grid of samples."""
    found = set()
    for file in STAGES.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.endswith((".png", ".gif")):
                found |= {name.strip().rpartition(".")[0] for name in node.value.split(",")}
    return {name for name in found if name.replace("_", "").isalnum()} - {"px", "final"} | COMPOSED


def test_every_figure_that_a_stage_draws_has_a_caption_and_no_caption_is_left_over():
    assert drawn() == set(CAPTIONS)


def test_captions_are_plain_sentences():
    for name, caption in CAPTIONS.items():
        assert caption[0].isupper() and caption.endswith(".") and "\n" not in caption and len(caption) < 160, name
    assert len(set(CAPTIONS.values())) == len(CAPTIONS)


def test_a_figure_is_found_by_its_path_and_another_picture_has_no_caption(judged_run):
    assert caption_of(judged_run.figures / "timelapse.gif") == CAPTIONS["timelapse"] == caption_of("timelapse.gif")
    assert caption_of("<script>.png") == caption_of("") == ""
    written = [path for path in judged_run.figures.iterdir() if path.suffix in (".png", ".gif")]
    assert len(written) > 10 and all(caption_of(path) for path in written)
