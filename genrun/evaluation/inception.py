"""Inception's features, in which the literature compares images: only where its weights and torch-fidelity are at hand."""

from __future__ import annotations

import hashlib
import io
import socket
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

WEIGHTS = (
    "weights-inception-2015-12-05-6726825d.pth"  # torch-fidelity's file; its sha256 starts with the last 8 characters
)
AT_ONCE = 50  # images: each becomes 299×299, and its second layer alone takes 5.5 MB
SECONDS = 20  # of silence after which a server counts as absent


class Unavailable(Exception):
    """One line: what is missing for Inception's features, and what to do."""


def find_weights(where: str, cache: Path, progress: bool) -> Path:
    """The file with Inception's weights.

    Args:
        where: `disk`: in `cache`/inception or where torch.hub keeps its downloads; `fetch`: the same, or downloaded into the
            first; anything else is the path of a file.
        cache: folder of what is computed or fetched once.
        progress: show the download's bar.

    Raises:
        Unavailable: it is not there, or cannot be downloaded.
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
    """Download the weights from where torch-fidelity has them, and put them in place when they are whole.

    torch.hub writes a temporary file of its own beside `place` and compares the hash before it renames: a download that fails
    leaves nothing, and the jobs of a sweep may all do this at once.
    """
    url = torch_fidelity().URL_INCEPTION_V3
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SECONDS)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(place), hash_prefix=hash_in(WEIGHTS), progress=progress)
    except Exception as error:  # of the network, the disk or the hash: urllib alone has a dozen kinds
        reason = " ".join(str(error).split()) or type(error).__name__
        raise Unavailable(
            f"Inception's weights cannot be downloaded from {url} ({reason}): put that file into {place.parent.absolute()}"
        ) from None
    finally:
        socket.setdefaulttimeout(patience)


def hash_in(name: str) -> str:
    """The start of the sha256 that a file's name ends with: name-6726825d.pth → 6726825d."""
    return name.removesuffix(".pth").rpartition("-")[2]


def torch_fidelity() -> ModuleType:
    """torch-fidelity's module with the network, which is an optional extra.

    Raises:
        Unavailable: it is not installed.
    """
    try:
        from torch_fidelity import feature_extractor_inceptionv3
    except ImportError as error:
        raise Unavailable(
            f"Inception's features need torch-fidelity ({error}): pip install 'genrun[inception]'"
        ) from None
    return feature_extractor_inceptionv3


class Inception(nn.Module):
    """The Inception network of 2015 as TensorFlow ran it, which every published Fréchet distance refers to; it never trains.

        [0, 1] → 0 … 255 → 299×299 (TensorFlow 1's bilinear) → Inception-v3 up to its last pooling → 2048 features

    Args:
        weights: torch-fidelity's file.

    References:
        Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash equilibrium, 2017, section 4.
        Obukhov et al., High-fidelity performance metrics for generative models in PyTorch (torch-fidelity), 2020.

    Raises:
        Unavailable: torch-fidelity is not installed, or the file is not whole.
    """

    name = "Inception"
    num_features = 2048

    def __init__(self, weights: Path) -> None:
        super().__init__()
        module = torch_fidelity()
        content = io.BytesIO()
        try:
            if weights.name == WEIGHTS:  # torch does not look at the checksums in its files
                with open(weights, "rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
                if not found.startswith(hash_in(WEIGHTS)):
                    raise ValueError(f"its sha256 starts with {found[:8]}")
            # torch-fidelity loads with pickle, which runs whatever a file says: it gets a copy of the tensors that we loaded safely
            torch.save(torch.load(weights, map_location="cpu", weights_only=True), content)
            content.seek(0)
            # its layers are drawn at random first, from a stream that belongs to training
            with torch.random.fork_rng(devices=[]):
                self.network = module.FeatureExtractorInceptionV3(
                    "inception-v3-compat", ["2048"], feature_extractor_weights_path=content
                )
        except Exception as error:  # torch has a dozen kinds for a file that is cut short or not its own
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise Unavailable(
                f"{weights.absolute()} does not hold Inception's weights ({reason}): delete it and get {WEIGHTS} again"
            ) from None
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Inception:
        """Stays as it is: its batch norms never look at a batch."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """(n, C, H, W) in [0, 1], C = 1 or 3 → (n, 2048) float32."""
        pixels = (images * 255).round().to(torch.uint8)
        pixels = pixels.expand(-1, 3, -1, -1) if images.shape[1] == 1 else pixels
        return torch.cat([self.network(part)[0] for part in pixels.split(AT_ONCE)])
