"""A small residual network that tells images apart: cheap, and good enough to judge by."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["FEATURES", "Classifier"]

FEATURES = 128
"""Length of the penultimate vector."""


class _Conv(nn.Sequential):
    """3×3 convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )


class _Residual(nn.Module):
    """Two 3×3 convolutions beside the identity (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _Conv(width, width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return F.relu(x + self.norm(self.second(self.first(x))))


class Classifier(nn.Module):
    """Residual convolutions and a global maximum: images in [0, 1] of any size from 8×8 → K logits.

    The side is halved until 5 to 8 pixels are left, and larger images are halved
    early: an image costs about the same whatever its size.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        channels, *sides = shape
        halvings = max(0, math.ceil(math.log2(max(sides) / 8)))
        early = max(0, halvings - 2)
        widths = [channels, *[16] * early]
        self.body = nn.Sequential(
            *(_Conv(a, b, 2) for a, b in pairwise(widths)),
            _Conv(widths[-1], 32, 2 if halvings > 1 else 1),
            _Residual(32),
            _Conv(32, 64, 2 if halvings > 0 else 1),
            _Residual(64),
            _Conv(64, FEATURES),
        )
        self.head = nn.Linear(FEATURES, classes)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def features(self, x: Tensor) -> Tensor:
        """N×C×H×W in [0, 1] → N×128, not negative."""
        centred = (x - 0.5).contiguous(memory_format=torch.channels_last)
        out: Tensor = self.body(centred)
        return out.amax((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W in [0, 1] → N×K logits."""
        out: Tensor = self.head(self.features(x))
        return out
