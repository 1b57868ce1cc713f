"""Multi-layer perceptrons."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

__all__ = ["mlp"]


def mlp(
    inputs: int,
    hidden: Sequence[int],
    outputs: int,
    activation: type[nn.ELU] | type[nn.ReLU] = nn.ELU,
) -> nn.Sequential:
    """Linear layers of the given widths with an activation between, none after the last.

    Maps …×inputs to …×outputs.

    Example:
        >>> mlp(4, [3], 2)
        Sequential(
          (0): Linear(in_features=4, out_features=3, bias=True)
          (1): ELU(alpha=1.0, inplace=True)
          (2): Linear(in_features=3, out_features=2, bias=True)
        )
    """
    widths = [inputs, *hidden]
    layers: list[nn.Module] = []
    for width, following in pairwise(widths):
        # In place: importance sampling decodes millions of latents, and memory is what it waits for.
        layers += [nn.Linear(width, following), activation(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))
