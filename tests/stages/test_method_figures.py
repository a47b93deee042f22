"""Each figure is made for the methods that can, of the images and labels that they want."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
import torch
from helpers.codes import Identity, Split
from helpers.figures import noised
from PIL import Image

from genrun.data.images import Stored
from genrun.stages import method_figures as pictures
from genrun.stages.method_figures import choose_pairs, latent_figures, noise_figures, trajectory_figures
from genrun.types import Decodes, Encodes, KeepsCodes, Noises, Trajectory

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


# ---------------------------------------------------------------------------------------------------------------- codes


class Coder:
    """Codes are an image's means of its halves; a conditional one wants labels wherever it can."""

    device, image_shape = torch.device("cpu"), (1, 4, 4)

    def __init__(self, num_classes: int) -> None:
        self.num_classes, self.encoded, self.decoded = num_classes, [], []

    def encode(self, images, labels=None):
        assert (labels is not None) == bool(self.num_classes)
        self.encoded.append(labels)
        return torch.stack([images[..., :2, :].mean((1, 2, 3)), images[..., 2:, :].mean((1, 2, 3))], 1)

    def decode_codes(self, codes, labels=None):
        assert (labels is not None) == bool(self.num_classes) and (labels is None or len(labels) == len(codes))
        self.decoded.append(labels)
        return codes.clamp(0, 1)[:, None, :, None].repeat_interleave(2, 2).expand(-1, 1, 4, 4)


class Keeper(Coder):
    """Keeps the codes of its training images, and must not be asked for others."""

    def __init__(self, num_classes: int, n: int) -> None:
        super().__init__(num_classes)
        self.codes = torch.rand(n, 2, generator=torch.Generator().manual_seed(2))

    def stored_codes(self):
        return self.codes

    def encode(self, images, labels=None):
        raise AssertionError("there are stored codes")


def job_of_codes(method, n: int = 60, classes: int = 10) -> SimpleNamespace:
    array = torch.randint(0, 256, (n, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(n) // max(1, n // max(1, classes)) % classes if classes else torch.full((n,), -1)
    split = Stored(array=array, labels=labels)
    return SimpleNamespace(
        method=method,
        data=SimpleNamespace(test=split, train=split),
        cfg=SimpleNamespace(seed=0, sample=SimpleNamespace(chunk=500)),
    )


def test_pairs_of_one_class_take_classes_in_turn_and_others_differ():
    labels = torch.tensor([0, 1, 0, 2, 1, 0, 0, 1, 0])
    assert choose_pairs(labels, same_class=True).tolist() == [
        [0, 2],
        [1, 4],
        [5, 6],
    ]  # one 2, a third 1 and a fifth 0 are left over
    assert choose_pairs(labels, same_class=True, most=1).tolist() == [[0, 2]]
    differing = choose_pairs(labels, same_class=False)
    assert len(differing.unique()) == 8 and (labels[differing[:3, 0]] != labels[differing[:3, 1]]).all()
    assert choose_pairs(torch.full((5,), -1), same_class=False).tolist() == [[0, 1], [2, 3]]
    for same_class in (True, False):
        assert choose_pairs(torch.zeros(0, dtype=torch.int64), same_class=same_class).shape == (0, 2)
        assert choose_pairs(torch.zeros(1, dtype=torch.int64), same_class=same_class).shape == (0, 2)


def test_an_unconditional_method_is_given_no_labels():
    method = Coder(0)
    assert isinstance(method, Encodes) and isinstance(method, Decodes) and not isinstance(method, KeepsCodes)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    made = latent_figures(job_of_codes(method, classes=0))
    assert torch.equal(before, torch.get_rng_state())
    assert set(made) == {"latent_plane.png", "interpolation.png"} and made == latent_figures(
        job_of_codes(Coder(0), classes=0)
    )
    for content in made.values():
        assert Image.open(io.BytesIO(content)).mode == "L" and len(content) < 100_000


def test_a_conditional_method_shows_the_plane_of_a_two_and_lines_within_classes():
    method = Coder(10)
    latent_figures(job_of_codes(method))
    assert set(method.encoded[0].tolist()) == {2} == set(method.decoded[0].tolist()) and len(method.decoded[0]) == 225
    ends = method.encoded[1].reshape(8, 2)
    assert ends[:, 0].tolist() == ends[:, 1].tolist() == list(range(8))
    assert method.decoded[1].reshape(8, 10).tolist() == [[k] * 10 for k in range(8)]
    two = Coder(2)
    latent_figures(job_of_codes(two, classes=2))
    assert set(two.encoded[0].tolist()) == {1}


def test_codes_that_a_method_keeps_are_taken_as_they_are():
    method = Keeper(10, 60)
    assert set(latent_figures(job_of_codes(method))) == {"latent_plane.png", "interpolation.png"}
    kept = []
    method.decode_codes = lambda codes, labels: kept.append(codes) or Coder.decode_codes(method, codes, labels)
    job = job_of_codes(method)
    latent_figures(job)
    ends = kept[1].reshape(8, 10, 2)[:, [0, 9]]
    for label, pair in enumerate(ends):
        of_class = method.codes[job.data.train.labels == label]
        assert all((of_class == code).all(1).any() for code in pair)


def test_too_few_images_give_no_figure():
    assert latent_figures(job_of_codes(Coder(0), n=1, classes=0)) == {}
    assert latent_figures(job_of_codes(Coder(10), n=0)) == {}
    assert set(latent_figures(job_of_codes(Coder(0), n=2, classes=0))) == {"latent_plane.png", "interpolation.png"}


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
