"""Signs that a generator makes one image, or few, where there should be many."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from triptych.evaluation.looks import TWICE, counts_from

__all__ = ["LOW", "collapsed", "spread"]

LOW = 0.25
"""Share of the spread of as many real images below which samples count as collapsed."""


def spread(features: Tensor) -> float:
    """How far a set of images is from repeating itself: median distance from each to its nearest other.

    It falls when all images become one, and also when they become a few that each
    appear often, which a mean distance over all pairs would hardly notice.

    Args:
        features: N×d, N ≥ 2.

    Returns:
        A Euclidean distance in the units of the features, 0 where most have an equal.

    Example:
        >>> spread(torch.tensor([[0.0], [1.0], [3.0]]))
        1.0
        >>> spread(torch.tensor([[0.0], [0.0], [9.0], [9.0]]))
        0.0
    """
    distance = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    distance.fill_diagonal_(float("inf"))
    return float(distance.amin(1).median())


def collapsed(looks: Sequence[tuple[int, float]], total: int) -> int | None:
    """The step from which on samples are collapsed at the end of ``looks``, or none.

    Args:
        looks: step and `spread` relative to real images, in order.
        total: steps of the whole training; looks in its first fifth do not count.

    Example:
        >>> collapsed([(1000, 0.8), (2000, 0.1), (3000, 0.1)], total=5000)
        2000
        >>> collapsed([(100, 0.0), (200, 0.1)], total=5000) is None
        True
    """
    begin = counts_from(total)
    low: list[int] = []
    for step, value in reversed(looks):
        # What is not a number is another fault, and no sign of this one.
        if not value < LOW or step < begin:
            break
        low.append(step)
    return low[-1] if len(low) >= TWICE else None
