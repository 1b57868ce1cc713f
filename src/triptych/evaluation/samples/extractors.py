"""What turns images into the vectors over which distributions are compared, with a name for protocols.

A distance of distributions means nothing without its features: two results
compare only where the names agree, so a name says which very weights made them.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.errors import TriptychError
from triptych.evaluation.samples.classifier import LabelClassifier
from triptych.evaluation.subject import BLOCK, Subject, generator
from triptych.types import Encodes

__all__ = [
    "Extractor",
    "Untrained",
    "from_classifier",
    "from_encoder",
    "from_torchscript",
    "untrained",
]

WIDTHS = (32, 64, 64)


class Untrained:
    """Means over the image of a random network's activations at two scales: N×C×H×W → N×128.

    Random features compare distributions of images without a bias of what a classifier was
    taught (Naeem et al. 2020, arXiv 2002.09797, section 3.3). They are rough, and cheap enough
    to be computed while a model trains. The weights are the same everywhere and always.
    """

    name = "random convolutional network, 128 features"

    def __init__(self, channels: int, device: torch.device) -> None:
        draw = generator(torch.device("cpu"), "untrained features")
        self.weights = []
        for width in WIDTHS:
            weight = torch.randn(width, channels, 3, 3, generator=draw)
            # He's variance keeps the activations of all layers of one size.
            self.weights.append((weight * (2 / (9 * channels)) ** 0.5).to(device))
            channels = width

    def __call__(self, x: Tensor) -> Tensor:
        """Images in [0, 1] → features, float32."""
        h = 2 * x.float() - 1
        found = []
        for weight in self.weights:
            h = F.conv2d(h, weight, padding=1).relu_()
            found.append(h.mean((2, 3)))
            h = F.avg_pool2d(h, 2)
        return torch.cat(found[1:], 1)


@dataclass(frozen=True)
class Extractor:
    """A function from images N×C×H×W in [0, 1] to features N×d, and its name for protocols."""

    name: str
    function: Callable[[Tensor], Tensor]

    def __call__(self, images: Tensor) -> Tensor:
        """N×C×H×W in [0, 1] → N×d, float32, computed in blocks and without gradients."""
        with torch.inference_mode():
            return torch.cat([self.function(x).float() for x in torch.split(images, BLOCK)])


def from_classifier(classifier: LabelClassifier) -> Extractor:
    """The penultimate layer of the classifier that judges samples, d = 128."""
    return Extractor(classifier.identity, classifier.network.features)


def from_encoder(method: Encodes, name: str) -> Extractor:
    """What a trained encoder makes of images; ``name`` says which run it is from."""
    return Extractor(name, method.encode)


def untrained(subject: Subject) -> Extractor:
    """A fixed random convolutional network for the subject's images, d = 128."""
    return Extractor(Untrained.name, Untrained(subject.dataset.shape[0], subject.device))


def from_torchscript(path: Path, device: torch.device) -> Extractor:
    """A user's TorchScript network: uint8 N×3×H×W, 0 to 255 → N×d. It resizes the images itself.

    A network that has the argument ``return_features`` is called with it, as the
    Inception of StyleGAN's authors (inception-2015-12-05.pt) expects; grey images
    are repeated in three channels. The name has the first digits of the file's SHA-256.

    Raises:
        TriptychError: the file is missing or no TorchScript, or the network does
            not make one vector of each of two images.
    """
    network, options = _network(path, device)

    def features(images: Tensor) -> Tensor:
        levels = (images.clamp(0, 1) * 255).round().to(torch.uint8)
        found: Tensor = network(levels.expand(-1, 3, -1, -1), **options)
        return found.flatten(1)

    try:
        with torch.inference_mode():
            shape = features(torch.zeros(2, 1, 32, 32, device=device)).shape
    # A script fails with errors of many types, and what it returns need not be a tensor.
    except Exception as error:
        raise TriptychError(
            f"'{path}' does not take uint8 images N×3×32×32: {_last_line(error)}"
        ) from None
    if len(shape) != 2 or shape[0] != 2:
        raise TriptychError(
            f"'{path}' gives {tuple(shape)} for two images; it should be 2×features"
        )
    return Extractor(f"TorchScript {path.stem}, sha256 {_sha256(path)[:8]}", features)


def _network(path: Path, device: torch.device) -> tuple[Any, dict[str, bool]]:
    """The network in ``eval()`` and the options it is called with."""
    if not path.is_file():
        raise TriptychError(f"there is no file '{path}'")
    try:
        with warnings.catch_warnings():
            # Deprecated or not, it is the format in which the authors' Inception is published.
            warnings.simplefilter("ignore", DeprecationWarning)
            network = torch.jit.load(str(path), map_location=device).eval()  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise TriptychError(
            f"'{path}' is not a TorchScript network, or damaged: {_last_line(error)}"
        ) from None
    arguments = {argument.name for argument in network.forward.schema.arguments}
    return network, {"return_features": True} if "return_features" in arguments else {}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _last_line(error: Exception) -> str:
    """What a long message of the interpreter of scripts says in the end."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
