"""One sample of each class, sorted, with the classifier's confidence: the first of its class, and none where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genrun.figures import classes
from genrun.figures.classes import sorted_classes
from genrun.figures.grid import LINE

NAMES = tuple("0123456789")


@pytest.fixture
def said(monkeypatch) -> list[tuple[list[np.ndarray], list[str]]]:
    """What is put beside each other, and under it."""
    calls, beside = [], classes.beside

    def noting(pictures, captions):
        calls.append(([np.asarray(one) for one in pictures], captions))
        return beside(pictures, captions)

    monkeypatch.setattr(classes, "beside", noting)
    return calls


def numbered(n: int, *shape: int) -> torch.Tensor:
    """n images whose every pixel is their number + 1."""
    return (torch.arange(n, dtype=torch.uint8) + 1)[:, None, None, None].expand(n, *shape)


def test_the_first_of_each_class_is_shown_with_its_confidence(said):
    labels = torch.tensor([3, 1, 3, 0, 1, 9])
    sorted_classes(numbered(6, 1, 28, 28), labels, torch.tensor([0.93, 0.9998, 1.0, 0.995, 1.0, 0.9949]), NAMES)
    pictures, captions = said[0]
    assert [int(one.max()) for one in pictures] == [4, 2, LINE, 1, *[LINE] * 5, 6]  # not the best, the first
    assert captions == [
        *("0\n0.9950", "1\n0.9998", "2\nnone of 6", "3\nuncertain 0.93", "4\nnone of 6"),
        *("5\nnone of 6", "6\nnone of 6", "7\nnone of 6", "8\nnone of 6", "9\nuncertain 0.99"),
    ]
    assert {one.shape for one in pictures} == {(84, 84)}


def test_of_many_classes_ten_are_shown_and_colour_stays_colour(said):
    names = [f"{k:02d}" for k in range(100)]
    drawn = sorted_classes(numbered(3, 3, 28, 48), torch.tensor([0, 99, 7]), torch.ones(3), names, certain=0.5)
    pictures, captions = said[0]
    assert [caption[:2] for caption in captions] == ["00", "11", "22", "33", "44", "55", "66", "77", "88", "99"]
    assert drawn.mode == "RGB" and {one.shape for one in pictures} == {(56, 96, 3)}
    assert len(sorted_classes(numbered(1, 1, 300, 300), torch.tensor([1]), torch.ones(1), ["a", "b"]).getbands()) == 1
    assert said[1][0][1].shape == (300, 300) and said[1][1] == ["a\nnone of 1", "b\n1.0000"]


def test_what_does_not_belong_together_is_refused():
    for images, labels, confidences in ((0, 0, 0), (2, 1, 2), (2, 2, 3)):
        with pytest.raises(ValueError, match=f"got {images} images, {labels} labels and {confidences} confidences"):
            sorted_classes(numbered(images, 1, 8, 8), torch.zeros(labels), torch.zeros(confidences), NAMES)
