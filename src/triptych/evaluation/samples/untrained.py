"""Features that need neither labels nor training: a fixed random convolutional network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.evaluation.subject import generator

__all__ = ["Untrained"]

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
