"""A moving average of a network's weights and statistics, begun quickly."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["follow"]


@torch.no_grad()
def follow(average: nn.Module, latest: nn.Module, count: Tensor, decay: float) -> None:
    """Move an average towards a network, running statistics too, and count it: θ̄ ← d·θ̄ + (1 − d)·θ.

    The statistics of one moment would not fit the averaged weights: samples would change
    in brightness from one step to the next. The first steps count more,
    d = min(decay, (1 + n)/(10 + n)), or the average would stay near the initial weights for long.

    Args:
        average: of the same shapes as ``latest``; it is changed.
        latest: what is averaged.
        count: how often it has moved, n, a buffer without dimensions; one more afterwards.
        decay: in [0, 1).

    Example:
        >>> mean, net, count = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1), torch.zeros(())
        >>> _ = mean.weight.data.fill_(0), net.weight.data.fill_(1)
        >>> follow(mean, net, count, 0.5)
        >>> round(mean.weight.item(), 6), count.item()
        (0.9, 1.0)
    """
    rate = 1 - ((1 + count) / (10 + count)).clamp(max=decay)
    found = latest.state_dict()
    for name, mean in average.state_dict().items():
        if mean.is_floating_point():
            mean.lerp_(found[name], rate)
        else:
            mean.copy_(found[name])
    count += 1
