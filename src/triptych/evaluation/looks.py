"""Which of the looks at a training count, and how many must agree."""

from __future__ import annotations

__all__ = ["GRACE", "TWICE", "counts_from"]

TWICE = 2
"""Looks in a row that must agree: one bad moment of a game is not its end."""

GRACE = 0.2, 200, 2000
"""Share of the training, and the fewest and most steps, in which samples are still noise and no look counts."""


def counts_from(total: int) -> float:
    """The step from which on a look at the samples counts."""
    share, fewest, most = GRACE
    return min(max(share * total, fewest), most)
