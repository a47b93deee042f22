"""Each figure is made for the methods that can, of the images and labels that they want."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from helpers.codes import Coder, Identity, Keeper, Split, job_of_codes
from helpers.figures import noised
from PIL import Image

from genrun.data.images import Stored
from genrun.stages import method_figures as pictures
from genrun.stages.method_figures import noise_figures, one_of_each, trajectory_figures
from genrun.types import Noises, Trajectory

# ----------------------------------------------------------------------------------------------------- films and strips


class Diffuses:
    """A trajectory and a noising of images, with one generator as their only source of randomness."""

    device, image_shape = torch.device("cpu"), (1, 8, 8)

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def sample_trajectory(self, n, labels=None, *, frames=40, generator=None):
        self.asked = labels
        return noised(torch.full((n, *self.image_shape), 0.7), frames, generator).flip(0).clamp(0, 1)

    def noise_trajectory(self, images, *, frames=40, generator=None):
        return noised(images, frames, generator).clamp(0, 1)

    def noise_schedule(self):
        return {"β": torch.linspace(1e-4, 2e-2, 30), "ᾱ": torch.linspace(1, 0, 30)}


def job_of_noise(method, images: torch.Tensor) -> SimpleNamespace:
    test = Stored(array=(images * 255).round().to(torch.uint8), labels=torch.arange(len(images)) % 10)
    return SimpleNamespace(method=method, data=SimpleNamespace(test=test), cfg=SimpleNamespace(seed=3))


@pytest.mark.parametrize("num_classes", [0, 10])
def test_a_method_with_a_trajectory_gives_a_film_and_a_strip(digits, num_classes):
    method = Diffuses(num_classes)
    assert isinstance(method, Trajectory) and isinstance(method, Noises)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    made = trajectory_figures(job_of_noise(method, digits))
    assert torch.equal(before, torch.get_rng_state())
    assert set(made) == {"denoising.gif", "denoising.png"} and made == trajectory_figures(job_of_noise(method, digits))
    assert method.asked is None if not num_classes else method.asked.tolist() == [k % 10 for k in range(25)]


def test_a_method_that_noises_gives_its_schedule_and_a_film_of_test_images(digits):
    method = Diffuses(0)
    made = noise_figures(job_of_noise(method, digits))
    assert set(made) == {"schedule.png", "noising.gif"} and made == noise_figures(job_of_noise(method, digits))
    assert set(noise_figures(job_of_noise(method, digits[:3]))) == {"schedule.png", "noising.gif"}
    assert set(noise_figures(job_of_noise(method, digits[:0]))) == {"schedule.png"}


# ---------------------------------------------------------------------------------------------------------- originality


def test_a_copy_is_shown_above_the_training_image_that_it_is_of(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    train = Split((torch.rand(40, 1, 4, 4, generator=generator) > 0.5).float(), torch.arange(40) % 3)
    job = SimpleNamespace(
        method=Identity(), data=SimpleNamespace(train=train), cfg=SimpleNamespace(sample=SimpleNamespace(chunk=7))
    )
    shown = []
    monkeypatch.setattr(pictures, "image_grid", lambda images, *_, **__: shown.append(images) or Image.new("L", (1, 1)))
    samples = (train.array[[5, 30, 17]] * 255).to(torch.uint8)
    pictures.originality_figure(job, samples, torch.tensor([0, 1, 2]))
    assert torch.equal(shown[0], train.array[[5, 30, 17] * 3])
    pictures.originality_figure(job, samples, torch.tensor([-1, -1, -1]))  # an unconditional run's
    assert torch.equal(shown[1], train.array[[5, 30, 17] * 3])


# ------------------------------------------------------------------------------------------------------- closest images


class Rebuilds(Coder):
    """Reconstructs an image by its negative, so that no reconstruction is its image."""

    def reconstruct(self, images, labels=None):
        assert (labels is not None) == bool(self.num_classes)
        return 1 - images


def groups_of(monkeypatch) -> list[dict[str, torch.Tensor]]:
    """The matches that are drawn, of each figure."""
    shown = []
    monkeypatch.setattr(pictures, "matches", lambda _, __, found: shown.append(found) or Image.new("L", (1, 1)))
    return shown


@pytest.mark.parametrize("num_classes", [0, 10])
def test_a_copy_of_a_training_image_is_its_closest_match_in_every_way(monkeypatch, num_classes):
    job, shown = job_of_codes(Rebuilds(num_classes)), groups_of(monkeypatch)
    samples = job.data.train.array[[40, 3]]
    labels = job.data.train.labels[[40, 3]] if num_classes else torch.tensor([-1, -1])
    order = torch.tensor([1, 0] if num_classes else [0, 1])  # of the classes
    pictures.closest_training_figure(job, samples, labels)
    originals, rebuilt = list(shown[0].values())[:3], list(shown[0].values())[3:]
    assert [len(one) for one in (originals, rebuilt)] == [3, 2]
    for found in originals:
        assert found.shape == (2, 3, 1, 4, 4)
        assert torch.equal(found[:, 0], samples[order].float() / 255)
    for found in rebuilt:
        assert not torch.equal(found[:, 0], samples[order].float() / 255)


def test_reconstructions_of_a_method_that_keeps_codes_are_its_decoded_codes(monkeypatch):
    method = Keeper(0, 60)
    method.reconstruct = lambda images, labels=None: pytest.fail("there are stored codes")
    monkeypatch.setattr(method, "encode", lambda images, labels=None: torch.zeros(len(images), 2))
    job, shown = job_of_codes(method, classes=0), groups_of(monkeypatch)
    pictures.closest_training_figure(job, job.data.train.array[:2], torch.full((2,), -1))
    decoded = method.decode_codes(method.codes).flatten(1)
    for found in list(shown[0].values())[3:]:
        assert all((decoded == one).all(1).any() for one in found.flatten(0, 1).flatten(1))


def test_a_sample_is_not_its_own_match_but_its_second_copy_is(monkeypatch):
    job, shown = job_of_codes(Coder(0)), groups_of(monkeypatch)
    samples = torch.cat([job.data.train.array[:20], job.data.train.array[:1]])
    pictures.closest_samples_figure(job, samples, torch.full((21,), -1))
    every = samples.float() / 255
    for found in shown[0].values():
        assert found.shape == (10, 5, 1, 4, 4)
        assert torch.equal(found[0, 0], every[20]) and not torch.equal(found[1, 0], every[1])


def test_one_sample_of_each_class_is_shown():
    assert one_of_each(torch.tensor([2, 2, 0, 1, 0])).tolist() == [2, 3, 0]
    assert one_of_each(torch.full((30,), -1)).tolist() == list(range(10))
    assert one_of_each(torch.tensor([3])).tolist() == [0]


# --------------------------------------------------------------------------------------------------------- several runs


def test_codes_of_several_methods_are_drawn_beside_each_other():
    class Other(Coder):
        def encode(self, images, labels=None):
            return super().encode(images, labels).flip(1) * 2

    job = job_of_codes(Coder(10))
    made = pictures.beside_codes(job, {"one": Coder(10), "two": Other(0)})
    assert set(made) == {"beside_tsne.png", "beside_interpolation.png"}
    assert pictures.beside_codes(job, {"one": Coder(10), "its refit": Coder(10)}) == {}
    assert pictures.beside_codes(job, {"one": Coder(10), "of other images": Keeper(10, 50)}) == {}
