"""Inception's features with random weights in the network's own shapes: nothing is downloaded but files of the test's own."""

from __future__ import annotations

import hashlib
import pickle
import socket
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch_fidelity import feature_extractor_inceptionv3

from genrun.evaluation import inception
from genrun.evaluation.inception import WEIGHTS, Inception, Unavailable, find_weights

CONTENT = b"weights, as far as a download can tell"
NAME = f"weights-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A file as torch-fidelity's, 96 MB, with weights that keep the scale of what passes through."""
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng(devices=[]):
        network = feature_extractor_inceptionv3.FeatureExtractorInceptionV3
        patch.setattr(torch, "load", lambda *_, **__: None)  # an untrained network, for its shapes
        patch.setattr(network, "load_state_dict", lambda *_: None)
        state = network("inception-v3-compat", ["2048"], feature_extractor_weights_path="").state_dict()
    generator = torch.Generator().manual_seed(0)
    for name, value in state.items():
        if name.endswith("conv.weight"):
            value.normal_(std=(2 / value[0].numel()) ** 0.5, generator=generator)
        elif name.endswith("running_mean"):
            value.normal_(std=0.1, generator=generator)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def network(weights) -> Inception:
    return Inception(weights)


@pytest.fixture(scope="module")
def colour() -> Tensor:
    """Two images (2, 3, 20, 16) in uint8."""
    return torch.randint(256, (2, 3, 20, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """torch.hub's folder of downloads, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch/hub/checkpoints"


@pytest.fixture
def server(tmp_path, monkeypatch) -> Path:
    """What the address of the weights leads to: a small file, whose name holds its hash."""
    file = tmp_path / "server" / NAME
    file.parent.mkdir()
    file.write_bytes(CONTENT)
    monkeypatch.setattr(feature_extractor_inceptionv3, "URL_INCEPTION_V3", file.as_uri())
    monkeypatch.setattr(inception, "WEIGHTS", NAME)
    return file


def one_line(excinfo: pytest.ExceptionInfo) -> str:
    text = str(excinfo.value)
    assert "\n" not in text
    return text


# ------------------------------------------------------------------------------------------------------------- features


def test_features_are_torch_fidelitys_own(network, weights, colour):
    theirs = feature_extractor_inceptionv3.FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights)
    )
    features = network(colour / 255)
    assert features.shape == (2, network.num_features) == (2, 2048)
    assert features.dtype == torch.float32
    assert torch.equal(features, theirs.eval()(colour)[0])  # version 0.3 leaves that to the caller
    assert features.std() > 0.01  # something came through
    assert not torch.allclose(features[0], features[1], rtol=0.01)


def test_images_are_rounded_to_the_nearest_of_256_values(network, colour):
    noise = torch.rand(colour.shape, generator=torch.Generator().manual_seed(1)) - 0.5
    near = ((colour + 0.98 * noise) / 255).clamp(0, 1)
    assert torch.equal(network(near), network(colour / 255))


def test_a_grey_image_is_its_own_repeat(network, colour):
    grey = colour[:, :1] / 255
    assert torch.equal(network(grey), network(grey.repeat(1, 3, 1, 1)))


def test_many_images_go_through_in_parts(network, colour, monkeypatch):
    together = network(colour / 255)
    seen = []
    forward = network.network.forward
    monkeypatch.setattr(network.network, "forward", lambda part: seen.append(len(part)) or forward(part))
    monkeypatch.setattr(inception, "AT_ONCE", 1)
    torch.testing.assert_close(network(colour / 255), together)
    assert seen == [1, 1]


def test_the_network_is_frozen(network, colour):
    assert not any(parameter.requires_grad for parameter in network.parameters())
    before = network(colour / 255)
    network.train()
    assert not any(module.training for module in network.modules())
    assert torch.equal(network(colour / 255), before)


def test_building_it_leaves_the_global_stream_alone(weights):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    Inception(weights)
    assert torch.equal(torch.rand(4), expected)


def test_without_torch_fidelity_the_extra_is_named(weights, tmp_path, hub, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    for use in (lambda: Inception(weights), lambda: find_weights("fetch", tmp_path, progress=False)):
        with pytest.raises(Unavailable, match=r"need the extra inception: .*pip install") as caught:
            use()
        one_line(caught)


# ------------------------------------------------------------------------------------------------------ damaged weights


def test_a_file_that_was_cut_short_is_refused(weights, tmp_path):
    content = weights.read_bytes()
    for size in (0, 100, len(content) // 2, len(content) - 1):
        short = tmp_path / "short.pth"
        short.write_bytes(content[:size])
        with pytest.raises(Unavailable, match="does not hold Inception's weights") as caught:
            Inception(short)
        assert str(short) in one_line(caught)


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "other.pth"
    for other in ({"fc.weight": torch.zeros(3)}, torch.zeros(3), [1, 2]):
        torch.save(other, path)
        with pytest.raises(Unavailable, match="does not hold Inception's weights") as caught:
            Inception(path)
        one_line(caught)


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def test_a_file_that_would_run_code_does_not(tmp_path):
    bomb = Bomb()
    bomb.path = str(tmp_path / "boom")
    torch.save(bomb, tmp_path / "bomb.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(bomb, protocol=2))
    for name in ("bomb.pth", "plain.pth"):
        with pytest.raises(Unavailable) as caught:
            Inception(tmp_path / name)
        one_line(caught)
    assert not (tmp_path / "boom").exists()
    torch.load(tmp_path / "bomb.pth", weights_only=False)
    assert (tmp_path / "boom").exists()  # it would have


def test_a_file_under_the_official_name_must_have_its_hash(weights, tmp_path, monkeypatch):
    official = tmp_path / WEIGHTS
    official.symlink_to(weights)
    with pytest.raises(Unavailable, match=r"its sha256 starts with [0-9a-f]{8}") as caught:
        Inception(official)
    one_line(caught)
    right = hashlib.sha256(weights.read_bytes()).hexdigest()[:8]
    monkeypatch.setattr(inception, "WEIGHTS", f"weights-{right}.pth")
    (tmp_path / inception.WEIGHTS).symlink_to(weights)
    Inception(tmp_path / inception.WEIGHTS)


# ---------------------------------------------------------------------------------------------------- where weights are


def test_the_name_is_that_of_torch_fidelitys_file():
    assert feature_extractor_inceptionv3.URL_INCEPTION_V3.endswith(f"/{WEIGHTS}")
    assert inception.hash_in(WEIGHTS) == "6726825d"


@pytest.mark.parametrize("where", ["disk", "fetch"])
def test_weights_on_disk_are_found_ours_first(where, tmp_path, hub, server):
    server.unlink()  # nothing is downloaded
    hub.mkdir(parents=True)
    (hub / NAME).touch()
    assert find_weights(where, tmp_path, progress=False) == hub / NAME
    ours = tmp_path / "inception" / NAME
    ours.parent.mkdir()
    ours.touch()
    assert find_weights(where, tmp_path, progress=False) == ours


def test_weights_that_are_not_on_disk_are_not_fetched_unasked(tmp_path, hub, server):
    with pytest.raises(Unavailable, match=r"evaluation\.inception=fetch") as caught:
        find_weights("disk", tmp_path, progress=False)
    one_line(caught)
    assert not (tmp_path / "inception").exists()


def test_a_path_must_exist(tmp_path):
    path = tmp_path / "mine.pth"
    with pytest.raises(Unavailable, match=f"no file {path}") as caught:
        find_weights(str(path), tmp_path, progress=False)
    one_line(caught)
    path.touch()
    assert find_weights(str(path), tmp_path, progress=False) == path


def test_weights_are_fetched_once(tmp_path, hub, server):
    ours = tmp_path / "inception" / NAME
    assert find_weights("fetch", tmp_path, progress=False) == ours
    assert ours.read_bytes() == CONTENT
    assert list(ours.parent.iterdir()) == [ours]
    server.unlink()
    assert find_weights("fetch", tmp_path, progress=False) == ours
    assert find_weights("disk", tmp_path, progress=False) == ours


@pytest.mark.parametrize("fault", ["wrong hash", "no server", "no folder"])
def test_a_download_that_fails_leaves_nothing(fault, tmp_path, hub, server):
    if fault == "wrong hash":
        server.write_bytes(CONTENT[:-1])
    elif fault == "no server":
        server.unlink()
    else:
        (tmp_path / "inception").write_text("a file where the folder would be")
    with pytest.raises(Unavailable, match="cannot be downloaded from file://") as caught:
        find_weights("fetch", tmp_path, progress=False)
    reason = {"wrong hash": "invalid hash value", "no server": "No such file", "no folder": "File exists"}[fault]
    assert reason in one_line(caught)
    assert str(tmp_path / "inception") in str(caught.value)
    assert not list((tmp_path / "inception").glob("*"))


def test_a_silent_server_is_not_waited_for_long(tmp_path, hub, server, monkeypatch):
    waited = []

    def download(*_, **__) -> None:
        waited.append(socket.getdefaulttimeout())
        raise TimeoutError("the read\noperation timed out")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    patience = socket.getdefaulttimeout()
    with pytest.raises(Unavailable, match=r"\(the read operation timed out\)") as caught:
        find_weights("fetch", tmp_path, progress=False)
    one_line(caught)
    assert waited == [inception.SECONDS]
    assert socket.getdefaulttimeout() is patience is None
