"""Samples are shown beside the images that are closest to them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from helpers.codes import Coder, Keeper, job_of_codes
from PIL import Image
from rich.console import Console

from genrun.nn.perceptual import NETWORKS
from genrun.stages import closest_figures as pictures
from genrun.stages.closest_figures import one_of_each


class Rebuilds(Coder):
    """Rebuilds the means of an image's halves, so that no reconstruction is its image."""

    def reconstruct(self, images, labels=None):
        raise AssertionError("the codes are known")


class Copies(Rebuilds):
    """Codes are the images' values."""

    def encode(self, images, labels=None):
        return images.flatten(1)

    def decode_codes(self, codes, labels=None):
        return codes.unflatten(1, self.image_shape)


class KeepsAndRebuilds(Keeper):
    def reconstruct(self, images, labels=None):
        raise AssertionError("there are stored codes")


def job_of(method, classes: int = 10) -> SimpleNamespace:
    """A run whose training codes are computed as a run computes them."""
    job = job_of_codes(method, classes=classes)
    job.cfg.sample.chunk = 7
    return job


@pytest.fixture
def grids(monkeypatch) -> list[torch.Tensor]:
    """The images of each grid that is drawn."""
    shown = []
    monkeypatch.setattr(pictures, "image_grid", lambda images, *_, **__: shown.append(images) or Image.new("L", (1, 1)))
    return shown


@pytest.fixture
def groups(monkeypatch) -> list[dict[str, torch.Tensor]]:
    """The matches of each figure that is drawn."""
    shown = []
    monkeypatch.setattr(pictures, "matches", lambda _, __, found: shown.append(found) or Image.new("L", (1, 1)))
    return shown


def test_a_copy_is_shown_above_the_training_image_that_it_is_of(grids):
    job = job_of(Copies(0))
    train = job.data.train
    made = pictures.closest_figures(job, train.array[[5, 30, 17]], torch.tensor([0, 1, 2]))
    assert set(made) == {"closest_samples.png", "closest_training.png", "originality.png"}
    assert torch.equal(grids[0], train.images(torch.tensor([5, 30, 17] * 3)))
    pictures.closest_figures(job, train.array[[5, 30, 17]], torch.tensor([-1, -1, -1]))  # an unconditional run's
    assert torch.equal(grids[1], grids[0])


@pytest.mark.parametrize("num_classes", [0, 10])
def test_a_copy_of_a_training_image_is_its_closest_match_in_every_way(groups, num_classes):
    job = job_of(Rebuilds(num_classes))
    samples = job.data.train.array[[40, 3]]
    labels = job.data.train.labels[[40, 3]] if num_classes else torch.tensor([-1, -1])
    order = torch.tensor([1, 0] if num_classes else [0, 1])  # of the classes
    pictures.closest_figures(job, samples, labels)
    originals, rebuilt = list(groups[1].values())[:3], list(groups[1].values())[3:]
    assert [len(one) for one in (originals, rebuilt)] == [3, 2]
    for found in originals:
        assert found.shape == (2, 3, 1, 4, 4)
        assert torch.equal(found[:, 0], samples[order].float() / 255)
    for found in rebuilt:
        assert not torch.equal(found[:, 0], samples[order].float() / 255)


def test_reconstructions_of_a_method_that_keeps_codes_are_its_decoded_codes(groups, monkeypatch):
    method = KeepsAndRebuilds(0, 60)
    job = job_of(method, classes=0)
    monkeypatch.setattr(method, "encode", lambda images, labels=None: torch.zeros(len(images), 2))
    made = pictures.closest_figures(job, job.data.train.array[:2], torch.full((2,), -1))
    assert "originality.png" not in made
    decoded = method.decode_codes(method.codes).mul(255).round().div(255).flatten(1)
    for found in list(groups[1].values())[3:]:
        assert all((decoded == one).all(1).any() for one in found.flatten(0, 1).flatten(1))


def test_a_sample_is_not_its_own_match_but_its_second_copy_is(groups):
    job = job_of_codes(SimpleNamespace(num_classes=0))  # any method
    samples = torch.cat([job.data.train.array[:20], job.data.train.array[:1]])
    made = pictures.closest_figures(job, samples, torch.full((21,), -1))
    assert set(made) == {"closest_samples.png"}
    every = samples.float() / 255
    for found in groups[0].values():
        assert found.shape == (10, 5, 1, 4, 4)
        assert torch.equal(found[0, 0], every[20]) and not torch.equal(found[1, 0], every[1])


def test_a_large_set_is_searched_in_part_and_the_caption_says_so(groups, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_SEARCHED", 16 * 20)
    job = job_of(Rebuilds(0))
    pictures.closest_figures(job, job.data.train.array[:2], torch.full((2,), -1))
    assert all("the first 20 training images" in caption for caption in list(groups[1])[:3])


def test_a_damaged_file_of_vgg_is_named_in_a_line_and_the_other_matches_are_drawn(
    groups, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    file = tmp_path / "checkpoints" / NETWORKS["vgg"].file
    file.parent.mkdir()
    file.write_text("<html>not found</html>")
    job = job_of(Rebuilds(0))
    job.console = Console()
    made = pictures.closest_figures(job, job.data.train.array[:2], torch.full((2,), -1))
    said = capsys.readouterr().out
    assert said.startswith("closest_training.png has no matches by VGG-16's features: ") and said.count("\n") == 1
    assert str(file) in said
    assert "closest_training.png" in made and len(groups[1]) == 5


def test_one_sample_of_each_class_is_shown():
    assert one_of_each(torch.tensor([2, 2, 0, 1, 0])).tolist() == [2, 3, 0]
    assert one_of_each(torch.full((30,), -1)).tolist() == list(range(10))
    assert one_of_each(torch.tensor([3])).tolist() == [0]
