"""The closest training images are those of a search by hand."""

from __future__ import annotations

from pathlib import Path

import torch

from genrun.data.images import Files, Stored
from genrun.explore import neighbours
from genrun.explore.neighbours import Neighbours


def stored(n: int = 50) -> Stored:
    array = torch.randint(0, 256, (n, 1, 3, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Stored(array=array, labels=torch.arange(n) % 3)


def test_matches_are_the_closest_with_their_difference(monkeypatch):
    monkeypatch.setattr(neighbours, "CHUNK", 7)
    train = stored()
    pictures = [train.array[4], torch.randint(0, 256, (1, 3, 4), dtype=torch.uint8)]
    found = Neighbours(train).of(pictures)
    for one, matches in zip(pictures, found, strict=True):
        differences = ((train.array.float() - one.float()) / 255).square().mean((1, 2, 3)).sqrt()
        assert [match.index for match in matches] == differences.argsort()[:3].tolist()
        for match in matches:
            assert abs(match.difference - differences[match.index].item()) < 1e-6
            assert torch.equal(match.image, train.array[match.index]) and match.label == match.index % 3
    assert found[0][0].index == 4 and found[0][0].difference == 0


def test_a_picture_of_another_size_has_none():
    assert [
        len(one) for one in Neighbours(stored()).of([torch.zeros(1, 30, 40).byte(), torch.zeros(1, 3, 4).byte()])
    ] == [0, 3]


def test_files_are_decoded_once_and_no_more_than_is_searched(monkeypatch):
    monkeypatch.setattr(neighbours, "MAX_SEARCHED", 5 * 12 + 1)
    train, read = stored(9), []

    def decode(path: Path) -> torch.Tensor:
        read.append(int(path.name))
        return train.array[int(path.name)]

    files = Files(labels=train.labels, paths=[Path(str(k)) for k in range(9)], read=decode, channels=1, extent=(3, 4))
    search = Neighbours(files)
    assert search.count == 5
    for _ in range(2):
        assert search.of([train.array[3]])[0][0].index == 3
    assert {match.index for match in search.of([train.array[8]])[0]} <= set(range(5))
    assert sorted(read) == [0, 1, 2, 3, 4]
