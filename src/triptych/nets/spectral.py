"""Spectral normalisation: layers whose matrix has the largest singular value 1 (Miyato et al. 2018, arXiv 1802.05957)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Spectral", "SpectralConv2d", "SpectralLinear", "iterate", "normalised"]

BEGINNING = 15
"""Power iterations before the first update: one each is enough only for a matrix that hardly changes."""

if TYPE_CHECKING:
    _Layer = nn.Module
else:
    # At run time the layer that it is mixed in before is the module.
    _Layer = object


class Spectral(_Layer):
    """To be mixed in before a linear layer or a convolution: it then works with W / σ(W) (eqs. 6 to 8).

    W is the weight as a matrix with a row an output; of a convolution every row has all inputs and places of the
    kernel (section 3), which is not the map of images to images: the norm of that may be larger, but by no more than √(places of
    the kernel that meet in a pixel). σ(W) ≈ uᵀWv with u and v from power iteration (Algorithm 1), which are constants to
    the gradient. They are buffers, move in `advance` alone, so neither where a layer is looked at nor where it is
    differentiated, and begin with a draw from the layer's own seed.
    """

    weight: Tensor
    left: Tensor
    """u, one number an output."""
    right: Tensor
    """v, one number a column of the matrix."""

    def __init__(self, *shape: Any, **options: Any) -> None:
        super().__init__(*shape, **options)
        rows, columns = self.weight.flatten(1).shape
        self.register_buffer("left", torch.empty(rows))
        self.register_buffer("right", torch.empty(columns))
        self._draw()

    def reset_parameters(self) -> None:
        """The layer's own rule, and vectors that fit the new weights."""
        super().reset_parameters()  # type: ignore[misc]
        # A layer of torch draws in its constructor too, before there are vectors.
        if "left" in self._buffers:
            self._draw()

    def _draw(self) -> None:
        self.left.normal_()
        self.advance(BEGINNING)

    @torch.no_grad()
    def advance(self, times: int = 1) -> None:
        """Power iteration: v ← Wᵀu / ‖Wᵀu‖, u ← Wv / ‖Wv‖."""
        matrix = self.weight.flatten(1)
        for _ in range(times):
            _point(self.right, matrix.T @ self.left)
            _point(self.left, matrix @ self.right)

    def normalised(self) -> Tensor:
        """W / σ(W), of the weight's shape: what the layer works with."""
        # Sums of products, not a product of matrices, which autocast would round.
        sigma = ((self.weight.flatten(1) * self.right).sum(1) * self.left).sum()
        return self.weight / sigma.clamp(min=torch.finfo(sigma.dtype).tiny)


def _point(vector: Tensor, to: Tensor) -> None:
    """Turn a unit vector to a direction, where there is one: of a matrix of zeros there is none."""
    norm = torch.linalg.vector_norm(to)
    vector.copy_(torch.where(norm > 0, to / norm, vector))


class SpectralConv2d(Spectral, nn.Conv2d):
    """`torch.nn.Conv2d` with spectral normalisation.

    Example:
        >>> layer = SpectralConv2d(3, 4, 3)
        >>> layer.advance(1000)
        >>> round(torch.linalg.matrix_norm(layer.normalised().detach().flatten(1), 2).item(), 4)
        1.0
    """

    def forward(self, input: Tensor) -> Tensor:
        """N×inputs×H×W → N×outputs×…"""
        found: Tensor = self._conv_forward(input, self.normalised(), self.bias)
        return found


class SpectralLinear(Spectral, nn.Linear):
    """`torch.nn.Linear` with spectral normalisation."""

    def forward(self, input: Tensor) -> Tensor:
        """N×inputs → N×outputs."""
        return F.linear(input, self.normalised(), self.bias)


def normalised(layer: nn.Module) -> Tensor:
    """The weight that a layer works with: W / σ(W) where it is `Spectral`, W where it is not."""
    if isinstance(layer, Spectral):
        return layer.normalised()
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight


def iterate(network: nn.Module) -> None:
    """One power iteration in every layer that has one: what follows an update of its weights."""
    for layer in network.modules():
        if isinstance(layer, Spectral):
            layer.advance()
