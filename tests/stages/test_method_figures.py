"""Each figure is made for the methods that can, of the images and labels that they want."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from helpers.codes import Coder, Keeper, job_of_codes
from helpers.figures import noised

from genrun.data.images import Stored
from genrun.stages import method_figures as pictures
from genrun.stages.method_figures import noise_figures, trajectory_figures
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


# --------------------------------------------------------------------------------------------------------- several runs


def test_codes_of_several_methods_are_drawn_beside_each_other():
    class Other(Coder):
        def encode(self, images, labels=None):
            return super().encode(images, labels).flip(1) * 2

    class Darker(Coder):
        def decode_codes(self, codes, labels=None):
            return super().decode_codes(codes, labels) / 2

    job = job_of_codes(Coder(10))
    shared = pictures.beside_codes(job, {"one": Coder(10), "another decoder of the same codes": Darker(10)})
    assert set(shared) == {"beside_interpolation.png"}
    made = pictures.beside_codes(job, {"one": Coder(10), "two": Other(0)})
    assert set(made) == {"beside_tsne.png", "beside_interpolation.png"}
    assert pictures.beside_codes(job, {"one": Coder(10), "its refit": Coder(10)}) == {}
    assert pictures.beside_codes(job, {"one": Coder(10), "of other images": Keeper(10, 50)}) == {}


def test_a_trajectory_of_equal_images_is_left_out(digits, caplog):
    class Stuck(Diffuses):
        def sample_trajectory(self, n, labels=None, *, frames=40, generator=None):
            return torch.full((frames, n, *self.image_shape), 0.4)

    caplog.set_level("INFO", "genrun")
    assert trajectory_figures(job_of_noise(Stuck(0), digits)) == {}
    assert "look alike: denoising.gif, denoising.png" in caplog.text
