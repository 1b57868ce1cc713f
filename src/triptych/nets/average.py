"""A network whose weights are a moving average of another's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["early", "follow"]


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, rate: Tensor) -> None:
    """ξ ← ξ + rate · (θ − ξ), of weights and running statistics; what counts in whole numbers is copied.

    Statistics of one moment would not fit averaged weights: samples would change in brightness from one step to the next.

    Args:
        average: ξ, of the same shape as the network; changed in place.
        network: θ, which is only read.
        rate: 1 − decay, a scalar tensor: what moves from step to step may be recorded once and replayed.

    Example:
        >>> slow, fast = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        >>> for layer, value in ((slow, 0.0), (fast, 1.0)):
        ...     _ = nn.init.constant_(layer.weight, value)
        >>> follow(slow, fast, torch.tensor(0.25))
        >>> slow.weight.item()
        0.25
    """
    latest = network.state_dict()
    for name, mean in average.state_dict().items():
        if mean.is_floating_point():
            mean.lerp_(latest[name], rate.to(mean.dtype))
        else:
            mean.copy_(latest[name])


def early(count: Tensor, decay: float) -> Tensor:
    """The rate 1 − min(decay, (1 + n)/(10 + n)) after n moves: the first count more, or an average stays near its beginning for long.

    Example:
        >>> [round(early(torch.tensor(n), 0.99).item(), 3) for n in (0.0, 10.0, 1000.0)]
        [0.9, 0.45, 0.01]
    """
    return 1 - ((1 + count) / (10 + count)).clamp(max=decay)
