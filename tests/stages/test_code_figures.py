"""Where codes lie and what combinations of them show: the images, labels and codes that each figure takes."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from helpers.codes import Coder, Keeper, job_of_codes
from PIL import Image

from genrun.stages import code_figures as pictures
from genrun.stages.code_figures import (
    CodedImages,
    choose_pairs,
    code_figures,
    combination_figures,
    has_codes,
    latent_figures,
    map_figures,
)
from genrun.types import Decodes, Encodes, KeepsCodes


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
    two = job_of_codes(Coder(0), n=2, classes=0)
    two.data.test.array[0], two.data.test.array[1] = 0, 255
    assert set(latent_figures(two)) == {"latent_plane.png", "interpolation.png"}


# --------------------------------------------------------------------------------------------- what would show nothing


class Deaf(Coder):
    """Decodes to the class alone, if it is conditional, and otherwise always to the same, but for what nobody sees."""

    def decode_codes(self, codes, labels=None):
        shade = 0.5 if labels is None else labels[:, None, None, None] / 10
        return super().decode_codes(codes, labels) * 0.1 + shade

    def refit_prior(self, codes, labels):
        raise AssertionError("a figure fits no prior")

    refitted_part = refit_prior

    def sample(self, n, labels=None, *, generator=None):
        return self.decode_codes(torch.rand(n, 2, generator=generator), labels)


class OnePoint(Coder):
    """Encodes every image to the same code, but for rounding."""

    def encode(self, images, labels=None):
        return 3 + 1e-7 * super().encode(images, labels)


def job_with_log(method, caplog, classes: int = 10):
    caplog.set_level("INFO", "genrun")
    return job_of_codes(method, n=200, classes=classes)


@pytest.mark.parametrize("num_classes", [0, 10])
def test_figures_of_what_decodes_to_the_same_are_left_out_and_log_txt_names_them(num_classes, caplog):
    job = job_with_log(Deaf(num_classes), caplog)
    job.cfg.sample.chunk = 64
    assert set(latent_figures(job) | combination_figures(job)) == set()
    assert set(code_figures(job)) == {"components.png"}  # its codes differ, only its decoder does not hear them
    names = ["latent_plane", "interpolation", "basis", "class_means", "combinations", "generations", "matrix"]
    names += ["priors"] if num_classes else []
    for name in names:
        assert f"looks the same: {name}.png" in caplog.text, name
    hearing = job_of_codes(Coder(num_classes), n=200)
    hearing.data.test.array[:, :, :2] = 25 * hearing.data.test.labels[:, None, None, None]
    made = latent_figures(hearing) | combination_figures(hearing) | code_figures(hearing)
    assert {f"{name}.png" for name in names if name != "priors"} <= set(made)


def test_figures_of_codes_that_are_one_point_are_left_out(caplog):
    job = job_with_log(OnePoint(0), caplog)
    assert map_figures(job) == {} and "components.png" not in code_figures(job)
    assert "left out, because all codes are equal: tsne.png, barcodes.png" in caplog.text


def test_components_and_means_are_of_all_training_codes_and_of_any_pair(monkeypatch):
    drawn, decoded = [], []
    monkeypatch.setattr(pictures, "components", lambda *of: drawn.append(of) or Image.new("L", (1, 1)))
    method = Coder(0)
    method.decode_codes = lambda codes, labels=None: decoded.append(codes) or Coder.decode_codes(method, codes, labels)
    job = job_of_codes(method, n=3000)
    job.data.train.array[:, :, :2] = 25 * job.data.train.labels[:, None, None, None]
    job.class_pairs = [(3, 8), (2, 0)]
    assert "class_means.png" in code_figures(job)
    codes, labels, _, pairs = drawn[0]
    assert len(codes) == len(labels) == 3000 and pairs == [(3, 8), (2, 0)]
    ends = decoded[1].reshape(2, 10, 2)[:, [0, 9]]  # the lines follow the unit vectors
    means = torch.stack([torch.from_numpy(codes[labels == k].mean(0)) for k in (3, 8, 2, 0)])
    torch.testing.assert_close(ends, means.reshape(2, 2, 2))
    job.class_pairs = ()
    code_figures(job)
    assert drawn[1][3] == [(1, 0), (4, 9)]


# ------------------------------------------------------------------------------------------------------------- the maps


@pytest.mark.parametrize("classes", [0, 10])
def test_maps_are_drawn_with_and_without_labels_and_leave_the_random_states(classes):
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    made = map_figures(job_of_codes(Coder(0), classes=classes))
    assert torch.equal(before[0], torch.get_rng_state()) and np.array_equal(before[1], np.random.get_state()[1])
    assert set(made) == {"tsne.png", "barcodes.png"} and made == map_figures(job_of_codes(Coder(0), classes=classes))
    assert map_figures(job_of_codes(Coder(0), n=4, classes=0)) == {}


def test_bar_codes_are_of_the_classes_codes(monkeypatch):
    drawn = []
    monkeypatch.setattr(pictures, "barcodes", lambda *of: drawn.append(of) or Image.new("L", (1, 1)))
    job = job_of_codes(Coder(10))
    map_figures(job)
    sizes, means, captions = drawn[0]
    assert sizes.shape == means.shape == (10, 2) and captions[3].startswith("d\nsparsity 0.")
    images = job.data.test.images((job.data.test.labels == 3).nonzero()[:, 0])
    np.testing.assert_allclose(means[3], Coder(0).encode(images).mean(0), rtol=1e-5)


# ------------------------------------------------------------------------------------------------------- combinations


class Pixels(Coder):
    """Codes are pixels, so the mean of codes is the mean of pixels."""

    def encode(self, images, labels=None):
        return images.flatten(1)

    def decode_codes(self, codes, labels=None):
        self.decoded.append(labels)
        return codes.unflatten(1, self.image_shape)


def bands_of(monkeypatch) -> list:
    shown = []
    monkeypatch.setattr(pictures, "bands", lambda *of: shown.append(of) or Image.new("L", (1, 1)))
    return shown


def test_combinations_are_means_of_codes_of_one_class(monkeypatch):
    method, shown, cells = Pixels(10), bands_of(monkeypatch), []
    monkeypatch.setattr(pictures, "matrix", lambda *of: cells.append(of) or Image.new("L", (1, 1)))
    job = job_of_codes(method, n=200)
    assert set(combination_figures(job)) == {"combinations.png", "generations.png", "matrix.png"}
    (combinations, names), (generations, _) = shown
    assert list(names) == list("abcdefghij") and len(combinations) == 3
    for combined, pixels in combinations:
        torch.testing.assert_close(combined.images, pixels.images)  # decoding is linear here
    assert all(labels.tolist() == list(range(10)) for labels in method.decoded[:6])
    index = CodedImages(method, job.data, 500).of_class(4)
    torch.testing.assert_close(combinations[1][0].images[4], job.data.test.images(index[:3]).mean(0))

    (one, other), (latent,), (again,) = generations
    torch.testing.assert_close(one.images[4], job.data.test.images(index[:2]).mean(0))
    torch.testing.assert_close(latent.images, (one.images + other.images) / 2)
    torch.testing.assert_close(again.images, latent.images)

    above, left, pairs = cells[0]
    assert len(above) == len(left) == 8 and set(method.decoded[-1].tolist()) == {2}
    torch.testing.assert_close(pairs[8 * 3 + 5], (above[5] + left[3]) / 2)


def test_what_a_method_or_the_data_lacks_is_left_out(monkeypatch):
    assert set(combination_figures(job_of_codes(Coder(0), classes=0))) == {"matrix.png"}
    assert set(combination_figures(job_of_codes(Coder(0), n=20))) == set()
    assert set(combination_figures(job_of_codes(Coder(0), n=3, classes=0))) == set()
    shown = bands_of(monkeypatch)
    combination_figures(job_of_codes(keeper_without_encode(Keeper(10, 60))))
    assert len(shown[1][0]) == 2  # no generation from encoded images


def keeper_without_encode(keeper: Keeper):
    """Only the methods that a Keeper has beside `encode`."""

    class Stores:
        device, image_shape, num_classes = keeper.device, keeper.image_shape, keeper.num_classes
        stored_codes, decode_codes = staticmethod(keeper.stored_codes), staticmethod(keeper.decode_codes)

    assert has_codes(Stores()) and not isinstance(Stores(), Encodes)
    return Stores()
