"""Multi-layer perceptrons."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Gated", "hidden_layers", "mlp"]


class Gated(nn.Linear):
    """A linear layer times the sigmoid of another, (A x + a) · σ(B x + b) (Dauphin et al. 2017, arXiv 1612.08083)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        # One product of twice the width; each half is drawn as a layer of its own would be.
        super().__init__(inputs, 2 * outputs)

    def forward(self, x: Tensor) -> Tensor:
        """…×inputs → …×outputs."""
        return F.glu(super().forward(x))


def hidden_layers(
    inputs: int,
    widths: Sequence[int],
    activation: type[nn.ELU] | type[nn.ReLU] = nn.ELU,
    gated: bool = False,
) -> list[nn.Module]:
    """Hidden layers of the given widths, with an activation or `Gated`: …×inputs → …×the last width."""
    layers: list[nn.Module] = []
    for width, following in pairwise([inputs, *widths]):
        if gated:
            layers.append(Gated(width, following))
        else:
            # In place: importance sampling decodes millions of latents, and memory is what it waits for.
            layers += [nn.Linear(width, following), activation(inplace=True)]
    return layers


def mlp(
    inputs: int,
    hidden: Sequence[int],
    outputs: int,
    activation: type[nn.ELU] | type[nn.ReLU] = nn.ELU,
    gated: bool = False,
) -> nn.Sequential:
    """Hidden layers of the given widths, and a linear one behind them.

    Maps …×inputs to …×outputs.

    Example:
        >>> mlp(4, [3], 2)
        Sequential(
          (0): Linear(in_features=4, out_features=3, bias=True)
          (1): ELU(alpha=1.0, inplace=True)
          (2): Linear(in_features=3, out_features=2, bias=True)
        )
    """
    layers = hidden_layers(inputs, hidden, activation, gated)
    return nn.Sequential(*layers, nn.Linear([inputs, *hidden][-1], outputs))
