"""The perceptual distance: how far images are apart in the first layer of a network trained on ImageNet."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genrun.errors import Refused

Network = Literal["inception", "vgg"]

ADDRESS = "https://download.pytorch.org/models/"
INCEPTION_EPSILON = 0.001  # of Inception's batch normalisation


class FirstLayer(NamedTuple):
    """What is known of a network's first layer before its weights are read."""

    file: str  # torchvision's name of the weights
    weight: str  # the convolution's name in it
    channels: int  # filters, each of 3×3
    stride: int
    padding: int
    mean: tuple[float, float, float]  # of the pixels that the network was trained on: it sees (x − mean) / deviation
    deviation: tuple[float, float, float]


NETWORKS: dict[str, FirstLayer] = {
    # (x − 0.5) / 0.5 = 2x − 1
    "inception": FirstLayer(
        "inception_v3_google-0cc3c7bd.pth", "Conv2d_1a_3x3.conv.weight", 32, 2, 0, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    ),
    "vgg": FirstLayer(
        "vgg16-397923af.pth", "features.0.weight", 64, 1, 1, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    ),
}


class PerceptualLoss(nn.Module):
    """Mean squared difference of the activations φ of a network's first layer (ReGene, equation 6, the term of λ₃).

        L(x, x') = 1/(C·H·W) Σ (φ(x) − φ(x'))²,   φ(x) of shape (C, H, W), C filters

        inception   φ(x) = relu(BN(w * (2x − 1))): 32 filters of 3×3, stride 2; its "block1_conv1", as ReGene names it
        vgg         φ(x) = relu(w * (x − mean) / deviation + b): 64 filters of 3×3

    Images keep their size; both networks were trained on larger ones (299×299 and 224×224). The weights are read from torch.hub's folder
    of downloads, and never downloaded. They are fixed, move with the module, and stand in no checkpoint.

    Args:
        network: `inception` or `vgg`.

    Shape: images x and x' (n, 1 or 3, H, W) in [0, 1] → (n,), grey as three equal channels; gradients reach both.

    References:
        Johnson et al., Perceptual losses for real-time style transfer and super-resolution, 2016.
        Szegedy et al., Rethinking the Inception architecture for computer vision, 2016.
        Simonyan, Zisserman, Very deep convolutional networks for large-scale image recognition, 2015.

    Raises:
        Refused: the file of the weights is missing or damaged.
        ValueError: there is no such network.
    """

    def __init__(self, network: Network = "inception") -> None:
        super().__init__()
        layer = first_layer(network)
        weight, bias = load(network)
        self.stride, self.padding = layer.stride, layer.padding
        # not persistent: the weights are no part of what a method has learned
        for name, value in (
            ("weight", weight.contiguous(memory_format=torch.channels_last)),  # (C, 3, 3, 3)
            ("bias", bias),  # (C,)
            ("mean", torch.tensor(layer.mean).view(3, 1, 1)),
            ("deviation", torch.tensor(layer.deviation).view(3, 1, 1)),
        ):
            self.register_buffer(name, value, persistent=False)

    @staticmethod
    def check(network: Network = "inception") -> None:
        """Check that the file with a network's weights is there, without reading it.

        Raises:
            Refused: it is missing.
            ValueError: there is no such network.
        """
        find(network)

    def activations(self, images: Tensor) -> Tensor:
        """Return φ of images: (n, 1 or 3, H, W) in [0, 1] → (n, C, H', W')."""
        # VGG pads the normalised image with zeros, so mean and deviation cannot be folded into its weights
        pixels = ((images - self.mean) / self.deviation).contiguous(memory_format=torch.channels_last)
        return F.conv2d(pixels, self.weight, self.bias, self.stride, self.padding).relu()

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        seen, wanted = self.activations(images), self.activations(targets)
        # under autocast the convolutions give bfloat16: too coarse for a mean of small squares
        precision = torch.promote_types(seen.dtype, torch.float32)
        return (seen.to(precision) - wanted.to(precision)).square().mean((1, 2, 3))


def first_layer(network: str) -> FirstLayer:
    """Return what is known of a network's first layer.

    Raises:
        ValueError: there is no such network.
    """
    if network not in NETWORKS:
        raise ValueError(f"expected a perceptual network of {', '.join(NETWORKS)}, got {network!r}")
    return NETWORKS[network]


def path_of(network: Network) -> Path:
    """Return where the file with a network's weights belongs: in torch.hub's folder of downloads. It may be missing.

    Raises:
        ValueError: there is no such network.
    """
    return Path(torch.hub.get_dir(), "checkpoints", first_layer(network).file)


def damaged(path: Path, network: Network, error: Exception, otherwise: str) -> Refused:
    """Return the error for a file that does not hold a network's weights.

    Args:
        error: what reading it raised; torch has a dozen types for a damaged or foreign file.
        otherwise: what else the user can do than replace the file.
    """
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return Refused(
        f"{path.absolute()} does not hold torchvision's weights of {network} ({reason}): replace it by "
        f"{ADDRESS}{first_layer(network).file}, or {otherwise}"
    )


def find(network: Network) -> Path:
    """Return the file with a network's weights, in torch.hub's folder of downloads.

    Raises:
        Refused: it is missing.
        ValueError: there is no such network.
    """
    file = first_layer(network).file
    path = path_of(network)
    if not path.is_file():
        raise Refused(
            f"the perceptual loss needs the weights of {network}, but there is no file {path.absolute()}: put torchvision's "
            f"{ADDRESS}{file} there, or set the weight of the perceptual term to 0"
        )
    return path


def load(network: Network) -> tuple[Tensor, Tensor]:
    """Return the weight (C, 3, 3, 3) and the bias (C,) of a network's first layer, with its batch normalisation folded in.

        BN(w * x) = γ (w * x − μ) / √(σ² + ε) + β = (s w) * x + (β − s μ),   s = γ / √(σ² + ε)

    Raises:
        Refused: the file is missing or damaged.
        ValueError: there is no such network.
    """
    path, layer = find(network), first_layer(network)
    try:
        read = torch.load(path, map_location="cpu", weights_only=True)
        weight = tensor_of(read, layer.weight, layer.channels, 3, 3, 3)
        if network == "vgg":
            bias = tensor_of(read, "features.0.bias", layer.channels)
        else:
            γ, β, μ, σ2 = (
                tensor_of(read, f"Conv2d_1a_3x3.bn.{name}", layer.channels)
                for name in ("weight", "bias", "running_mean", "running_var")
            )
            s = γ / (σ2 + INCEPTION_EPSILON).sqrt()
            weight, bias = s.view(-1, 1, 1, 1) * weight, β - s * μ
    except Exception as error:
        raise damaged(path, network, error, "set the weight of the perceptual term to 0") from None
    dtype = torch.get_default_dtype()
    return weight.to(dtype), bias.to(dtype)


def tensor_of(read: dict[str, Tensor], name: str, *shape: int) -> Tensor:
    """Return one tensor of a file's content in float64, of the expected shape.

    Raises:
        ValueError: it is missing, has another shape, or a number in it is not finite.
    """
    tensor = read.get(name) if isinstance(read, dict) else None
    if not isinstance(tensor, Tensor) or tensor.shape != shape:
        got = tuple(tensor.shape) if isinstance(tensor, Tensor) else "none"
        raise ValueError(f"expected a tensor {name} of shape {shape}, got {got}")
    if not tensor.isfinite().all():
        raise ValueError(f"a number in {name} is not finite")
    return tensor.detach().double().clone()  # the file's other tensors are freed
