"""A code moves along the principal directions of the codes of its class, and on lines and circles between codes."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.codes import Coder, Keeper, job_of_codes

from genrun.errors import Refused
from genrun.explore.codes import Codes, path
from genrun.inference import training_codes
from genrun.maths.principal import principal_components


def test_steps_are_standard_deviations_of_the_codes_of_the_class():
    job = job_of_codes(Coder(10))
    train = job.data.train
    codes = Codes(job.method, train, chunk=7)
    own = training_codes(Coder(10), train, (train.labels == 3).nonzero().squeeze(1), 500)
    mean, components, deviations, _ = principal_components(own)
    expected = mean + 1.5 * deviations[0] * components[0] - 2 * deviations[1] * components[1]
    found = codes.at(3, [1.5, -2.0, 1.0], None)  # codes of two values have two directions
    assert found.shape == (1, 2) and found.dtype == torch.float32
    assert torch.allclose(found[0].double(), expected, atol=1e-6)
    assert torch.allclose(codes.at(3, [0.0], None)[0].double(), mean, atol=1e-6)
    everything = training_codes(Coder(10), train, torch.arange(len(train)), 500)
    assert torch.allclose(codes.at(None, [], None)[0], everything.mean(0), atol=1e-6)


def test_a_random_code_has_the_spread_of_the_codes_and_repeats():
    job = job_of_codes(Coder(0), n=400)
    codes = Codes(job.method, job.data.train, chunk=500)
    drawn = torch.cat([codes.at(None, [], seed) for seed in range(500)])
    own = training_codes(Coder(0), job.data.train, torch.arange(400), 500)
    assert torch.allclose(drawn.mean(0), own.mean(0), atol=0.02)
    assert torch.allclose(torch.cov(drawn.T), torch.cov(own.T), atol=0.15 * torch.cov(own.T).diagonal().max().item())
    assert torch.equal(codes.at(None, [1.0], 3), codes.at(None, [1.0], 3))
    moved = (codes.at(None, [1.0], 3) - codes.at(None, [], 3))[0].double()
    principal = principal_components(own)
    assert torch.allclose(moved, principal.deviations[0] * principal.components[0], atol=1e-6)


def test_kept_codes_need_no_images():
    codes = Codes(Keeper(0, 60), None, chunk=500)
    assert torch.allclose(codes.at(None, [], None)[0], Keeper(0, 60).codes.mean(0), atol=1e-6)


def test_codes_are_encoded_once():
    job = job_of_codes(Coder(0))
    codes = Codes(job.method, job.data.train, chunk=500)
    for step in (0.0, 1.0, 2.0):
        codes.at(None, [step], None)
    assert len(job.method.encoded) == 1


def test_a_class_of_one_image_is_refused():
    job = job_of_codes(Coder(10), n=10)
    with pytest.raises(Refused, match="at least two training images, this one has 1"):
        Codes(job.method, job.data.train, chunk=500).at(3, [], None)


def test_known_where_codes_can_be_found_and_decoded():
    train = job_of_codes(Coder(0)).data.train
    assert Codes.known(Coder(0), train) and not Codes.known(Coder(0), None)
    assert Codes.known(Keeper(0, 60), None)
    assert not Codes.known(torch.nn.Identity(), train)


def test_a_straight_and_a_spherical_path():
    start, end = torch.tensor([2.0, 0.0, 0.0]), torch.tensor([0.0, 2.0, 0.0])
    assert torch.allclose(path(start, end, 3, "straight"), torch.tensor([[2.0, 0, 0], [1, 1, 0], [0, 2, 0]]))
    angles = torch.linspace(0, math.pi / 2, 5)
    circle = torch.stack([2 * angles.cos(), 2 * angles.sin(), torch.zeros(5)], 1)
    assert torch.allclose(path(start, end, 5, "spherical"), circle, atol=1e-6)


def test_opposite_or_parallel_codes_have_no_circle_and_take_the_line():
    start = torch.tensor([1.0, 2.0])
    for end in (-start, 2 * start):
        assert torch.allclose(path(start, end, 4, "spherical"), path(start, end, 4, "straight"))
    assert path(start, torch.zeros(2), 4, "spherical").isfinite().all()
