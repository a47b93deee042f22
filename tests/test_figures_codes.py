"""Pictures and figures of codes against numpy, scikit-learn and cases whose answer is known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from genrun.evaluation.metrics.separation import pairwise_separation
from genrun.evaluation.rows.separation import separation
from genrun.figures.components import components, principal
from genrun.stages import method_figures as pictures


def clouds(n=300, classes=3, size=5):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % classes
    centres = 2 * torch.randn(classes, size, generator=generator, dtype=torch.float64)
    return centres[labels] + torch.randn(n, size, generator=generator, dtype=torch.float64), labels


# --------------------------------------------------------------------------------------------------------- components


def test_components_are_scikit_learns():
    codes = clouds()[0].numpy()
    values, cloud = principal(codes)
    pca = PCA().fit(codes)
    np.testing.assert_allclose(values, pca.explained_variance_)
    np.testing.assert_allclose(np.abs(cloud), np.abs(pca.transform(codes)[:, :2]), atol=1e-9)


def test_codes_of_one_dimension_lie_on_a_line():
    values, cloud = principal(np.arange(5.0)[:, None])
    assert values.tolist() == [2.5] and cloud[:, 1].tolist() == [0] * 5
    assert components(np.arange(5.0)[:, None], np.full(5, -1), (), []).size[0] > 100


def test_pairs_have_a_panel_each_and_the_picture_repeats():
    codes, labels = (tensor.numpy() for tensor in clouds())
    one, other = (components(codes, labels, "abc", [(0, 1)] * pairs) for pairs in (1, 2))
    assert other.width > 1.2 * one.width
    again = components(codes, labels, "abc", [(0, 1)])
    assert one.tobytes() == again.tobytes()
    assert np.unique(np.asarray(one).reshape(-1, 3), axis=0).shape[0] > 100  # colours, not a blank sheet


def test_components_refuse_what_is_no_codes():
    for codes, labels in ((np.zeros((1, 3)), np.zeros(1)), (np.zeros((4, 0)), np.zeros(4)), (np.zeros((4, 2)), [0])):
        with pytest.raises(ValueError, match=r"expected codes \(N, D\) and labels"):
            components(codes, labels, "a", [])
    with pytest.raises(ValueError, match="codes must be finite"):
        components(np.array([[1.0], [np.nan]]), np.zeros(2), "a", [])


# --------------------------------------------------------------------------------------------------------- separation


def test_separation_is_that_of_a_linear_discriminant_in_two_components():
    codes, labels = clouds()
    table = pairwise_separation(codes, labels, 3)
    plane = PCA(2).fit_transform(codes.numpy())
    for i, j in ((0, 1), (0, 2), (1, 2)):
        at = np.isin(labels, (i, j))
        truth = LinearDiscriminantAnalysis(solver="lsqr", priors=[0.5, 0.5]).fit(plane[at], labels[at])
        assert table[i, j].item() == pytest.approx(
            truth.score(plane[at], labels[at]), abs=0.011
        )  # covariances ÷ N, N - 2
    assert torch.equal(table, table.T) and table.diagonal().tolist() == [1, 1, 1]


def test_separation_of_classes_far_apart_is_one_and_of_equal_ones_one_half():
    codes, labels = clouds(6000, 2)
    table = pairwise_separation(codes + 100 * labels[:, None], labels, 3)
    assert table[0, 1] == 1 and table[0, 2].isnan() and table[1, 2].isnan()
    assert pairwise_separation(torch.ones(6, 5), labels[:6], 2)[0, 1] == 0.5
    noise = torch.randn(6000, 5, generator=torch.Generator().manual_seed(1))
    assert pairwise_separation(noise, labels, 2)[0, 1].item() == pytest.approx(0.5, abs=0.03)


class Split:
    """Images that are their own codes."""

    def __init__(self, images, labels):
        self.array, self.labels = images, labels

    def __len__(self):
        return len(self.labels)

    def images(self, index):
        return self.array[index]


class Identity:
    """Codes are the images' values."""

    num_classes, device = 0, torch.device("cpu")

    def encode(self, images, labels=None):
        return images.flatten(1)

    def reconstruct(self, images, labels=None):
        return images


def test_the_least_separated_pair_is_named():
    labels = torch.arange(300) % 3
    codes = torch.randn(300, 5, generator=torch.Generator().manual_seed(0))
    codes = torch.where((labels == 1)[:, None], codes + 50, codes)
    facts = SimpleNamespace(num_classes=3, class_names=("a", "b", "c"))
    data = SimpleNamespace(facts=lambda: facts, test=Split(codes.view(-1, 1, 1, 5), labels))
    rows, tables = separation(Identity(), data, 100)
    assert "least: a and c" in rows[0].note
    accuracy = np.array(tables["class separation"]["accuracy"])
    assert rows[0].value == pytest.approx(accuracy[np.triu_indices(3, 1)].mean(), abs=1e-4)
    facts.num_classes = 0
    assert separation(Identity(), data, 100) == ([], {})


# -------------------------------------------------------------------------------------------------------- originality


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
