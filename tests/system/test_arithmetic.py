"""The check of reduced precision: planted faults are found and named, and nothing else is."""

from __future__ import annotations

import re
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from genrun.nn.conv import ConvDecoder, ConvEncoder
from genrun.nn.densenet import DenseNet
from genrun.nn.gated_unet import GatedUNet
from genrun.nn.mlp import MLPDecoder, MLPEncoder
from genrun.nn.unet import UNet
from genrun.nn.vgg import VGGDecoder, VGGEncoder
from genrun.system.arithmetic import CheckedArithmetic, fault_of

NEVER_WRITTEN = "gives two results for the same numbers: it reads memory that was never written"
SHAPES = [
    (1, 28, 28),
    (3, 32, 32),
    (1, 8, 8),
    (3, 64, 16),
    (3, 16, 64),
    (1, 9, 7),
    (3, 4, 4),
    (1, 5, 33),
    (3, 12, 8),
    (4, 20, 20),
]
NETWORKS = {
    "ConvEncoder": lambda shape: (ConvEncoder(shape, 4, width=8, hidden=16), torch.rand(5, *shape)),
    "ConvEncoder of a GAN": lambda shape: (
        ConvEncoder(shape, 1, width=8, batch_norm=True, batch_deviation=True, spectral_norm=True), torch.rand(5, *shape)),
    "ConvDecoder": lambda shape: (ConvDecoder(4, shape, width=8, hidden=16), torch.rand(5, 4)),
    "ConvDecoder of a GAN": lambda shape: (ConvDecoder(4, shape, width=8, batch_norm=True), torch.rand(5, 4)),
    "DenseNet": lambda shape: (DenseNet(shape, depth=10, growth=4), torch.rand(5, *shape)),
    "GatedUNet": lambda shape: (GatedUNet(shape, 3, width=8), torch.rand(5, *shape), torch.rand(5), torch.arange(5) % 3),
    "MLPEncoder": lambda shape: (MLPEncoder(shape, 4, hidden=(32,), dropout=0.2), torch.rand(5, *shape)),
    "MLPDecoder": lambda shape: (MLPDecoder(4, shape, hidden=(32,)), torch.rand(5, 4)),
    "UNet": lambda shape: (UNet(shape, 3, widths=(8, 16)), torch.rand(5, *shape), torch.rand(5), torch.arange(5) % 3),
    "VGGEncoder": lambda shape: (VGGEncoder(shape, width=0.1), torch.rand(5, *shape)),
    "VGGDecoder": lambda shape: (VGGDecoder(16, shape, width=0.02), torch.rand(5, 16)),
}  # fmt: skip


@pytest.fixture(autouse=True)
def as_in_training(monkeypatch):
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(0)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_computes_right_at_every_shape(name):
    for shape in SHAPES:
        network, *inputs = NETWORKS[name](shape)
        for layer in network.modules():  # a network that begins at zero would hide what comes before
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.normal_(layer.weight, std=0.2)
        assert fault_of(network, *inputs) is None, shape


# ---------------------------------------------------------------------------------------------------------------- planted


class Planted(nn.Module):
    """A layer that is right in 32 bits."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x):
        if x.dtype != torch.bfloat16:
            return x
        if self.kind == "never written":
            return x + torch.empty_like(x)
        return x * torch.nan


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("never written", rf"^3: in bfloat16 on this cpu {NEVER_WRITTEN}$"),
        ("not a number", r"^3: in bfloat16 on this cpu gives nan where 32 bits give"),
    ],
)
def test_a_faulty_layer_is_found_and_named(kind, line):
    network = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), Planted(kind), nn.Linear(8, 2))
    found = fault_of(network, torch.rand(4, 8))
    assert found is not None and re.search(line, found), found
    network[3] = nn.Identity()
    assert fault_of(network, torch.rand(4, 8)) is None


def in_bfloat16(change):
    """What torch itself computes: right, but for products in bfloat16."""

    def product(bias, one, two, *, beta=1, alpha=1):
        right = torch.add(beta * bias, one.mm(two), alpha=alpha)
        return change(right) if one.dtype == torch.bfloat16 else right

    return product


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda y: y + torch.empty_like(y), f"1: addmm in bfloat16 on this cpu {NEVER_WRITTEN}"),
        (lambda y: y / 4, "1: addmm in bfloat16 on this cpu gives"),
        (lambda y: torch.cat([y[:-1], y[-1:] * 1.3]), "1: addmm in bfloat16 on this cpu gives"),
    ],
    ids=["never written", "a quarter", "the last row"],
)
def test_a_faulty_operation_of_torch_is_found(change, line):
    library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it takes the place of another
        library.impl("addmm", in_bfloat16(change), "CPU")
    try:
        found = fault_of(nn.Sequential(nn.Flatten(), nn.Linear(8, 8)), torch.rand(4, 8) + 1)
    finally:
        library._destroy()
    assert found is not None and found.startswith(line), found
    assert fault_of(nn.Sequential(nn.Flatten(), nn.Linear(8, 8)), torch.rand(4, 8) + 1) is None


def test_a_faulty_gradient_is_found_and_its_layer_named():
    def wrong(one, two):
        right = torch.bmm(one[None], two[None])[0]
        return right * 1.5 if one.dtype == torch.bfloat16 else right

    library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library.impl("mm", wrong, "CPU")
    try:
        found = fault_of(nn.Sequential(nn.Flatten(), nn.Linear(8, 8), nn.ReLU()), torch.rand(4, 8) + 1)
    finally:
        library._destroy()
    assert found is not None and found.startswith("1: mm in bfloat16 on this cpu gives"), found


def test_nothing_that_the_network_knows_changes():
    """Results, gradients, buffers and random streams are bit for bit those without the check."""
    outcomes = []
    for checks in (False, True):
        torch.manual_seed(1)
        network = nn.Sequential(
            ConvEncoder((3, 16, 16), 8, width=8, batch_norm=True, spectral_norm=True),
            nn.BatchNorm1d(8),
            nn.Dropout(0.3),
            Noisy(),
        )
        images = torch.rand(6, 3, 16, 16)
        checked = CheckedArithmetic(network)
        if checks:
            checked.__enter__()
        with torch.autocast("cpu", torch.bfloat16):
            output = network(images)
        output.float().square().sum().backward()
        if checks:
            checked.__exit__(None, None, None)
            assert checked.operations > 10
        gradients = [weight.grad for weight in network.parameters()]
        outcomes.append([output, *gradients, *network.state_dict().values(), torch.get_rng_state(), torch.rand(3)])
    for one, other in zip(*outcomes, strict=True):
        assert torch.equal(one, other)


class Noisy(nn.Module):
    """A layer with a buffer of its own and random numbers, which no second call gives again."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return F.linear(x, torch.ones(4, 8)) + torch.randn(4).to(torch.bfloat16)


def test_what_came_in_wrong_is_no_fault_of_the_device():
    images = torch.rand(4, 8)
    images[1, 2] = torch.nan
    images[2, 3] = torch.inf
    assert fault_of(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)), images) is None


class Counting(nn.Module):
    """A layer that keeps a count, and picks by comparing: right in every precision, though its results may be far apart."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return torch.sign(x - x.mean()) * self.calls


class Nearest(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("book", torch.linspace(-1, 1, 9)[:, None] * torch.ones(8))

    def forward(self, x):
        return self.book[torch.cdist(x.float(), self.book).argmin(1)].to(x)


@pytest.mark.parametrize("layer", [Counting, Nearest])
def test_a_sound_layer_of_the_users_own_is_no_fault_and_is_called_once(layer):
    network = nn.Sequential(nn.Linear(8, 8), layer(), nn.Linear(8, 2))
    assert fault_of(network, torch.randn(64, 8)) is None
    assert getattr(network[1], "calls", 1) == 1
