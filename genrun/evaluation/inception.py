"""Inception features, which published Fréchet distances use. They need torch-fidelity and the network's weights."""

from __future__ import annotations

import hashlib
import io
import socket
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from genrun.config.extras import to_install

WEIGHTS = (
    "weights-inception-2015-12-05-6726825d.pth"  # torch-fidelity's file; its sha256 starts with the last 8 characters
)
AT_ONCE = 50  # images in a forward pass: each becomes 299×299, and its second layer alone takes 5.5 MB
SECONDS = 20  # without an answer, after which a download fails


class Unavailable(Exception):
    """Inception features cannot be computed; the message says in one line what is missing and what to do."""


def find_weights(where: str, cache: Path, progress: bool) -> Path:
    """Find the file with Inception's weights, or download it.

    Args:
        where: `disk`: look in `cache`/inception and in torch.hub's download folder; `fetch`: look there, then download
            into `cache`/inception; anything else: the path of a file.
        cache: the cache folder.
        progress: show a progress bar for the download.

    Raises:
        Unavailable: the file is missing, or the download failed.
    """
    ours = cache / "inception" / WEIGHTS
    if where not in ("disk", "fetch"):
        path = Path(where).expanduser()
        if not path.is_file():
            raise Unavailable(
                f"there is no file {path.absolute()} with Inception's weights: expected disk, fetch or a path"
            )
        return path
    for path in (ours, Path(torch.hub.get_dir(), "checkpoints", WEIGHTS)):
        if path.is_file():
            return path
    if where == "disk":
        raise Unavailable("its weights are not on disk: evaluation.inception=fetch downloads them (96 MB)")
    fetch(ours, progress)
    return ours


def fetch(place: Path, progress: bool) -> None:
    """Download the weights from torch-fidelity's address to the file `place`.

    torch.hub writes a temporary file beside `place` and checks the hash before it renames this file. So a failed download
    leaves no file behind, and several jobs of a sweep may download at the same time.

    Raises:
        Unavailable: the download failed, or torch-fidelity is not installed.
    """
    url = torch_fidelity().URL_INCEPTION_V3
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SECONDS)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(place), hash_prefix=hash_in(WEIGHTS), progress=progress)
    except Exception as error:  # network, disk or hash: urllib alone raises a dozen types
        reason = " ".join(str(error).split()) or type(error).__name__
        raise Unavailable(
            f"Inception's weights cannot be downloaded from {url} ({reason}): put that file into {place.parent.absolute()}"
        ) from None
    finally:
        socket.setdefaulttimeout(patience)


def hash_in(name: str) -> str:
    """Return the start of the sha256 from the end of a file name: name-6726825d.pth → 6726825d."""
    return name.removesuffix(".pth").rpartition("-")[2]


def torch_fidelity() -> ModuleType:
    """Import the module of torch-fidelity, an optional extra, that defines the network.

    Raises:
        Unavailable: torch-fidelity is not installed.
    """
    try:
        from torch_fidelity import feature_extractor_inceptionv3
    except ImportError as error:
        raise Unavailable(f"Inception's features need {to_install('inception')} ({error})") from None
    return feature_extractor_inceptionv3


class Inception(nn.Module):
    """The frozen Inception network of 2015, as in TensorFlow, to which every published Fréchet distance refers.

        [0, 1] → 0 … 255 → 299×299 (TensorFlow 1's bilinear) → Inception-v3 up to its last pooling → 2048 features

    Args:
        weights: the weights file of torch-fidelity.

    References:
        Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash equilibrium, 2017, section 4.
        Obukhov et al., High-fidelity performance metrics for generative models in PyTorch (torch-fidelity), 2020.

    Raises:
        Unavailable: torch-fidelity is not installed, or the file is damaged.
    """

    name = "Inception"
    num_features = 2048

    def __init__(self, weights: Path) -> None:
        super().__init__()
        module = torch_fidelity()
        content = io.BytesIO()
        try:
            if weights.name == WEIGHTS:  # torch does not check the checksums in its files
                with open(weights, "rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
                if not found.startswith(hash_in(WEIGHTS)):
                    raise ValueError(f"its sha256 starts with {found[:8]}")
            # torch-fidelity loads with pickle, which runs any code in a file: give it a copy of safely loaded tensors
            torch.save(torch.load(weights, map_location="cpu", weights_only=True), content)
            content.seek(0)
            # the layers are initialised at random first: the global random state belongs to training
            with torch.random.fork_rng(devices=[]):
                self.network = module.FeatureExtractorInceptionV3(
                    "inception-v3-compat", ["2048"], feature_extractor_weights_path=content
                )
        except Exception as error:  # torch raises a dozen types for a damaged or foreign file
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise Unavailable(
                f"{weights.absolute()} does not hold Inception's weights ({reason}): delete it and get {WEIGHTS} again"
            ) from None
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Inception:
        """Stay in evaluation mode, so that batch norm never uses statistics of a batch."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features (n, 2048) float32 of images (n, C, H, W) in [0, 1], C = 1 or 3."""
        pixels = (images * 255).round().to(torch.uint8)
        pixels = pixels.expand(-1, 3, -1, -1) if images.shape[1] == 1 else pixels
        return torch.cat([self.network(part)[0] for part in pixels.split(AT_ONCE)])
