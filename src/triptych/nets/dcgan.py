"""Convolutional stacks between images and vectors, whose depth follows the image size.

The 4×4 convolutions of DCGAN (Radford et al. 2016, arXiv 1511.06434): each layer
halves or doubles the side; one last convolution covers the whole of what is left.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triptych.errors import TriptychError
from triptych.nets.spectral import SpectralConv2d, normalised

__all__ = ["Critic", "ImageToVector", "VectorToImage", "halvings"]


def halvings(height: int, width: int) -> tuple[int, tuple[int, int]]:
    """How often both sides are halved, and the base sides of 4 to 7 pixels that are left.

    Raises `TriptychError` for sides that no number of halvings brings to such a base, with the nearest ones that do.

    Example:
        >>> halvings(32, 32), halvings(28, 28), halvings(32, 48)
        ((3, (4, 4)), (2, (7, 7)), (3, (4, 6)))
    """
    for count in range(1, 1 + max(height, width).bit_length()):
        times = 1 << count
        if all(side % times == 0 and side // times in BASES for side in (height, width)):
            return count, (height // times, width // times)
    raise TriptychError(
        "a convolutional network halves both sides equally often, down to 4, 5, 6 or 7 pixels, "
        f"and {height}×{width} cannot be halved so: resize with --image-size, to {_nearest(height, width)} "
        "for instance, or choose another network where the method has one (--method.net mlp)"
    )


BASES = range(4, 8)


def _nearest(height: int, width: int) -> str:
    """The size with the least change of both sides that can be halved so, as --image-size takes it."""

    def change(sides: tuple[int, int]) -> float:
        return math.log(sides[0] / height) ** 2 + math.log(sides[1] / width) ** 2

    counts = range(1, 1 + max(height, width, 8).bit_length())
    sizes = ((b << n, c << n) for n in counts for b in BASES for c in BASES)
    tall, wide = min(sizes, key=change)
    return str(tall) if tall == wide else f"{tall}x{wide}"


class ImageToVector(nn.Module):
    """Strided convolutions with leaky ReLU and no normalisation: C×H×W → outputs.

    Widths are ``width``, 2·``width``, 4·``width``, …, one for each halving; ``spectral`` gives every layer
    spectral normalisation.
    """

    def __init__(
        self, shape: tuple[int, int, int], outputs: int, width: int, spectral: bool = False
    ) -> None:
        super().__init__()
        conv = SpectralConv2d if spectral else nn.Conv2d
        count, base = halvings(*shape[1:])
        widths = [shape[0], *(width * 2**i for i in range(count))]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [conv(before, after, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        self.net = nn.Sequential(*layers, conv(widths[-1], outputs, base))

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W → N×outputs."""
        out: Tensor = self.net(x)
        return out.flatten(1)


class Critic(ImageToVector):
    """`ImageToVector` with one output: C×H×W → a score, and the gradient of that score.

    Without ``offset`` the score has no constant of its own: where only differences of scores mean anything it would
    get rounding errors for gradients.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        width: int,
        *,
        offset: bool = False,
        spectral: bool = False,
    ) -> None:
        super().__init__(shape, 1, width, spectral)
        if not offset:
            self.net[-1].register_parameter("bias", None)

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W → N scores."""
        return super().forward(x).flatten()

    def gradient(self, x: Tensor) -> Tensor:
        """∇f(x) of each example, N×C×H×W, written out as a network of its own.

        f is piecewise linear: its gradient is the transposed convolutions in reverse
        order, each input scaled by the slope of the activation at x. The slopes do not
        depend on the weights (almost everywhere), so this is differentiable in the
        weights by ordinary back-propagation. Differentiating `forward` twice gives the same
        values, and walks through the forward pass once more for gradients that are zero.
        """
        slopes = []
        with torch.no_grad():
            for layer in list(self.net)[:-1]:
                x = layer(x)
                if isinstance(layer, nn.LeakyReLU):
                    slope = torch.full_like(x, layer.negative_slope)
                    slopes.append(slope.masked_fill_(x > 0, 1.0))
        *convolutions, last = (layer for layer in self.net if isinstance(layer, nn.Conv2d))
        found = normalised(last).expand(len(x), -1, -1, -1)
        for layer, slope in zip(reversed(convolutions), reversed(slopes), strict=True):
            found = F.conv_transpose2d(found * slope, normalised(layer), stride=2, padding=1)
        return found


class VectorToImage(nn.Module):
    """Transposed convolutions with ReLU, batch norm if asked: inputs → channels×H×W, no final squashing."""

    def __init__(
        self, inputs: int, shape: tuple[int, int, int], width: int, batch_norm: bool
    ) -> None:
        super().__init__()
        count, base = halvings(*shape[1:])
        widths = [width * 2**i for i in reversed(range(count))]
        layers: list[nn.Module] = [nn.ConvTranspose2d(inputs, widths[0], base)]
        for before, after in zip(widths, [*widths[1:], shape[0]], strict=True):
            layers += [nn.BatchNorm2d(before)] if batch_norm else []
            layers += [nn.ReLU(), nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)]
        self.net = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """N×inputs → N×channels×H×W."""
        out: Tensor = self.net(z[:, :, None, None])
        return out
