"""The perceptual loss against torchvision's networks with random weights."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from data_files import refusal
from torch import Tensor, nn
from torchvision import models

from genrun.nn import perceptual
from genrun.nn.perceptual import NETWORKS, PerceptualLoss

MEAN = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64).view(3, 1, 1)
DEVIATION = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64).view(3, 1, 1)


class WithStem(nn.Module):
    """torchvision's first block of Inception under its own name, so that the file's names are torchvision's."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = models.inception.BasicConv2d(3, 32, kernel_size=3, stride=2)
        bn = self.Conv2d_1a_3x3.bn
        for tensor, (low, high) in zip(
            (bn.weight, bn.bias, bn.running_mean, bn.running_var), ((0.5, 2), (-1, 1), (-1, 1), (0.001, 2)), strict=True
        ):
            nn.init.uniform_(tensor, low, high)


class WithFirstLayer(nn.Module):
    """The first two layers of torchvision's VGG-16."""

    def __init__(self) -> None:
        super().__init__()
        self.features = models.vgg.make_layers([64])


@pytest.fixture(params=["inception", "vgg"])
def truth(request, tmp_path, monkeypatch):
    """A network's name, a file of random weights for it in torch.hub's folder, and torchvision's layer in float64."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    torch.manual_seed(0)
    network = WithStem() if request.param == "inception" else WithFirstLayer()
    (tmp_path / "checkpoints").mkdir()
    # the real file of VGG-16 has the format that torch used before zip
    save(network, tmp_path, request.param, _use_new_zipfile_serialization=request.param == "inception")
    network = network.double().eval()

    def activations(images: Tensor) -> Tensor:
        if request.param == "inception":
            return network.Conv2d_1a_3x3(2 * images.double() - 1)
        return network.features((images.double() - MEAN) / DEVIATION)

    return request.param, activations


def save(network: nn.Module, folder, name: str, **options) -> None:
    torch.save(
        {**network.state_dict(), "fc.weight": torch.zeros(3)}, folder / "checkpoints" / NETWORKS[name].file, **options
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.float64, 1e-6)])
@pytest.mark.parametrize("side", [8, 33])
def test_it_is_the_mean_squared_difference_of_torchvisions_activations(truth, dtype, tolerance, side):
    name, activations = truth
    loss = PerceptualLoss(name).to(dtype)
    x, y = torch.rand(2, 4, 3, side, side, dtype=dtype)
    found, expected = loss.activations(x), activations(x)
    assert found.shape == expected.shape and found.dtype == dtype
    assert torch.allclose(found.double(), expected, rtol=tolerance, atol=tolerance)
    distances = loss(x, y)
    assert distances.shape == (4,) and distances.dtype == dtype
    assert torch.allclose(distances.double(), (expected - activations(y)).square().mean((1, 2, 3)), rtol=10 * tolerance)
    assert torch.equal(loss(x, x), torch.zeros(4, dtype=dtype))
    grey = x[:, :1]
    assert torch.equal(loss.activations(grey), loss.activations(grey.expand_as(x)))


def test_the_names_and_layers_are_torchvisions():
    with torch.device("meta"):
        inception = models.inception_v3(weights=None, init_weights=False, aux_logits=True, transform_input=False)
        vgg = models.vgg16(weights=None)
    assert inception.state_dict().keys() >= {f"Conv2d_1a_3x3.{name}" for name in WithStem().Conv2d_1a_3x3.state_dict()}
    assert repr(inception.Conv2d_1a_3x3) == repr(WithStem().Conv2d_1a_3x3)
    assert inception.Conv2d_1a_3x3.bn.eps == perceptual.INCEPTION_EPSILON
    assert repr(vgg.features[:2]) == repr(WithFirstLayer().features[:2])
    assert vgg.state_dict().keys() >= {"features.0.weight", "features.0.bias"}
    for name, weights in (("inception", models.Inception_V3_Weights), ("vgg", models.VGG16_Weights)):
        assert weights.IMAGENET1K_V1.url == perceptual.ADDRESS + NETWORKS[name].file
    transform = models.VGG16_Weights.IMAGENET1K_V1.transforms()
    assert (tuple(transform.mean), tuple(transform.std)) == (NETWORKS["vgg"].mean, NETWORKS["vgg"].deviation)


def test_gradients_reach_the_images_and_no_weights(truth):
    loss = PerceptualLoss(truth[0]).double()
    x, y = torch.rand(2, 2, 3, 6, 6, dtype=torch.float64)
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, y), x)
    assert not list(loss.parameters())


def test_under_autocast_it_is_summed_in_float32(truth):
    name, activations = truth
    x, y = torch.rand(2, 4, 3, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        found = PerceptualLoss(name)(x, y)
    assert found.dtype == torch.float32
    expected = (activations(x) - activations(y)).square().mean((1, 2, 3))
    assert torch.allclose(found.double(), expected, rtol=0.01)


def test_its_tensors_stand_in_no_checkpoint_but_move(truth):
    holder = nn.Module()
    holder.loss, holder.layer = PerceptualLoss(truth[0]), nn.Linear(2, 2)
    assert set(holder.state_dict()) == {"layer.weight", "layer.bias"}
    holder.load_state_dict(nn.ModuleDict({"layer": nn.Linear(2, 2)}).state_dict())
    assert len(list(holder.loss.buffers())) == 4
    assert {buffer.device.type for buffer in copy.deepcopy(holder).to("meta").loss.buffers()} == {"meta"}


def test_loading_leaves_the_global_random_state(truth):
    before = torch.get_rng_state()
    PerceptualLoss(truth[0])
    assert torch.equal(torch.get_rng_state(), before)


def test_a_missing_file_is_refused_before_training(truth, tmp_path):
    name, _ = truth
    path = tmp_path / "checkpoints" / NETWORKS[name].file
    assert perceptual.find(name) == path
    path.unlink()
    for call in (PerceptualLoss.check, PerceptualLoss):
        line = refusal(call, name)
        assert (
            f"there is no file {path}: put torchvision's https://download.pytorch.org/models/{path.name} there" in line
        )
        assert line.endswith("or set the weight of the perceptual term to 0")


@pytest.mark.parametrize("damage", ["cut short", "empty", "text", "other", "shape", "nan", "list"])
def test_a_damaged_file_is_refused_in_one_line(truth, tmp_path, damage):
    name, _ = truth
    path = tmp_path / "checkpoints" / NETWORKS[name].file
    content = path.read_bytes()
    if damage in ("cut short", "empty", "text"):
        path.write_bytes({"cut short": content[:-1000], "empty": b"", "text": b"<html>not found</html>"}[damage])
    else:
        read = torch.load(path, weights_only=True)
        key = NETWORKS[name].weight
        read[key] = {"shape": read[key][1:], "nan": read[key] * torch.nan}.get(damage, read[key])
        torch.save({"other": {"a": 1}, "list": [1]}.get(damage, read), path)
    PerceptualLoss.check(name)  # which reads nothing
    line = refusal(PerceptualLoss, name)
    assert re.match(
        rf"{re.escape(str(path))} does not hold torchvision's weights of {name} \(.+\): replace it by ", line
    )
    assert path.name in line.partition("): ")[2] and line.endswith("or set the weight of the perceptual term to 0")


def test_a_file_runs_no_code(truth, tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path / "ran").touch, ()

    name, _ = truth
    torch.save(Trap(), tmp_path / "checkpoints" / NETWORKS[name].file)
    assert "does not hold" in refusal(PerceptualLoss, name)
    assert not (tmp_path / "ran").exists()


def test_another_network_is_refused():
    for call in (PerceptualLoss, PerceptualLoss.check):
        with pytest.raises(ValueError, match=r"of inception, vgg, got 'alexnet'$"):
            call("alexnet")
