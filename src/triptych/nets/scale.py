"""The learned scale of a continuous likelihood."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["LearnedScale"]


class LearnedScale(nn.Module):
    """The logarithm of one scale for each channel, spread over the pixels: a vector of length D."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        channels, height, width = shape
        self.pixels = height * width
        self.log_scale = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start at a tenth of the range: wide enough that no pixel is impossible."""
        nn.init.constant_(self.log_scale, math.log(0.1))

    def forward(self) -> Tensor:
        """D values of log scale, in the units of pixels in [0, 1]."""
        return self.log_scale.repeat_interleave(self.pixels)
