"""VGG-16's features of a network with random weights in place of the published ones."""

from __future__ import annotations

import pytest
import torch
from data_files import refusal
from torch import nn
from torchvision.models import vgg16

from genrun.evaluation.vgg import VGGFeatures, vgg_weights
from genrun.nn.perceptual import NETWORKS


def vgg16_convolutions() -> nn.Module:
    with torch.device("meta"):
        convolutions = vgg16(weights=None, init_weights=False).features
    convolutions.to_empty(device="cpu")
    for layer in convolutions:
        if isinstance(layer, nn.Conv2d):
            layer.reset_parameters()
    return convolutions


def test_features_are_those_of_torchvisions_network_if_the_file_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert vgg_weights() is None
    (tmp_path / "checkpoints").mkdir()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.ModuleDict({"features": vgg16_convolutions()}).eval()
    torch.save(network.state_dict(), tmp_path / "checkpoints" / NETWORKS["vgg"].file)
    before = torch.get_rng_state()
    features = VGGFeatures(vgg_weights())
    assert torch.equal(before, torch.get_rng_state())
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = network["features"]((images - mean[:, None, None]) / deviation[:, None, None]).flatten(1)
    torch.testing.assert_close(features(images), expected)
    assert features(torch.rand(2, 1, 28, 28)).shape == (2, 2048)


@pytest.mark.parametrize("damage", ["text", "list", "shape", "missing"])
def test_a_damaged_file_is_refused_in_one_line(damage, tmp_path):
    file = tmp_path / "vgg.pth"
    if damage == "text":
        file.write_text("<html>not found</html>")
    else:
        weights = vgg16_convolutions().state_dict()
        wrong = {"list": [1], "shape": {f"features.{name}": value[:1] for name, value in weights.items()}}
        torch.save(wrong.get(damage, {"a": torch.zeros(1)}), file)
    line = refusal(VGGFeatures, file)
    assert line.startswith(f"{file} does not hold torchvision's weights of vgg (")
    assert line.endswith("vgg16-397923af.pth, or delete it")
