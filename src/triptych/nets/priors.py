"""What the components of a learned prior are made of (Tomczak and Welling 2018, arXiv 1705.07120, section 2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["MixtureComponents", "PseudoInputs"]


NOISE = 0.1
"""Standard deviation of the pixels of pseudo-inputs at the start: wide enough that their codes differ from the first step on."""


class MixtureComponents(nn.Module):
    """Means and log-variances of the components of a mixture of Gaussians, both count×latent."""

    def __init__(self, count: int, latent: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.empty(count, latent))
        self.log_variance = nn.Parameter(torch.empty(count, latent))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Means from N(0, I) and variances of 1: apart, and overlapping."""
        nn.init.normal_(self.mean)
        nn.init.zeros_(self.log_variance)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Mean and log-variance."""
        return self.mean, self.log_variance


class PseudoInputs(nn.Module):
    """Learned images, count×C×H×W in [0, 1], whose codes are the components of a VampPrior."""

    def __init__(self, count: int, shape: tuple[int, int, int], mean: tuple[float, ...]) -> None:
        """``mean`` is that of each channel over the training images, one half where there is none."""
        super().__init__()
        self.mean = mean or (0.5,) * shape[0]
        self.images = nn.Parameter(torch.empty(count, *shape))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start at the mean of each channel with noise, cut to [0, 1]."""
        nn.init.normal_(self.images, std=NOISE)
        with torch.no_grad():
            for channel, mean in enumerate(self.mean):
                self.images[:, channel].add_(mean)
        self.project()

    @torch.no_grad()
    def project(self) -> None:
        """Back into [0, 1], after a step that led out of it.

        The authors put a hard tanh before the encoder, behind which a pixel that left the range has no gradient that
        could bring it back.
        """
        self.images.clamp_(0, 1)

    def forward(self) -> Tensor:
        """The images."""
        return self.images
