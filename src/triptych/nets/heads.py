"""The small networks between a backbone and a loss that compares views (Chen and He 2021, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

__all__ = ["Float", "predictor", "projector", "random_predictor"]


class Float(nn.Module):
    """What comes after it is computed in float32 at least, under autocast too."""

    def forward(self, x: Tensor) -> Tensor:
        """The same numbers, in float32 where they were in less."""
        return x if x.dtype.itemsize > 2 else x.float()


class _RandomLinear(nn.Linear):
    """Weights N(0, σ²) and no offset."""

    def reset_parameters(self) -> None:
        """σ = 0.01; a cosine behind it, and a batch norm, do not see the scale."""
        nn.init.normal_(self.weight, std=0.01)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


def projector(inputs: int, widths: Sequence[int], *, normalised: bool = True) -> nn.Sequential:
    """Linear layers without bias, each followed by batch norm and, but for the last, ReLU.

    The last norm has no weights of its own and computes in float32. Without it (``normalised`` false) the last layer is
    linear alone, as where it matters how far projections vary.
    """
    layers: list[nn.Module] = []
    for a, b in pairwise((inputs, *widths[:-1])):
        layers += [nn.Linear(a, b, bias=False), nn.BatchNorm1d(b), nn.ReLU()]
    a, b = (inputs, *widths)[-2:]
    layers += [nn.Linear(a, b, bias=False), Float()]
    if normalised:
        layers.append(nn.BatchNorm1d(b, affine=False))
    return nn.Sequential(*layers)


def predictor(width: int, hidden: int) -> nn.Sequential:
    """From width to hidden, batch norm and ReLU, and back to width."""
    return _bottleneck(nn.Linear, width, hidden)


def random_predictor(width: int, hidden: int) -> nn.Sequential:
    """The same shape with random weights that are not meant to learn."""
    return _bottleneck(_RandomLinear, width, hidden)


def _bottleneck(linear: type[nn.Linear], width: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(
        linear(width, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(), linear(hidden, width)
    )
