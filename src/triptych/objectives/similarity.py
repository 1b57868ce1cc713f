"""Agreement between two views of the same images."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

__all__ = ["cosine", "symmetric_loss"]


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """a·b / (‖a‖‖b‖) of each pair of rows, in float32 at least: N×d, N×d → N in [−1, 1].

    Example:
        >>> import torch
        >>> cosine(torch.tensor([[3.0, 0.0]]), torch.tensor([[1.0, 1.0]]))
        tensor([0.7071])
    """
    a, b = (x if x.dtype.itemsize > 2 else x.float() for x in (a, b))
    return (F.normalize(a, dim=-1) * F.normalize(b, dim=-1)).sum(-1)


def symmetric_loss(p1: Tensor, p2: Tensor, z1: Tensor, z2: Tensor) -> Tensor:
    """−½ [cos(p₁, z₂) + cos(p₂, z₁)] (Chen and He 2021, equations 1 to 4).

    Whether a gradient flows into the targets is the caller's choice: a stop-gradient
    detaches z₁ and z₂.

    Args:
        p1: predictions from the first view, N×d.
        p2: predictions from the second.
        z1: projections of the first view, N×d.
        z2: projections of the second.

    Returns:
        N values in [−1, 1]; −1 where predictions and targets agree.
    """
    return -0.5 * (cosine(p1, z2) + cosine(p2, z1))
