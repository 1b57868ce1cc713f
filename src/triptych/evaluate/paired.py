"""Comparisons of two treatments on the same units: Student's paired interval, Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

from triptych.errors import TriptychError

__all__ = ["Paired", "holm", "paired_t"]


class Paired(NamedTuple):
    """Mean of n paired differences, its standard error, interval low..high, and two-sided p for mean 0."""

    n: int
    mean: float
    stderr: float
    low: float
    high: float
    p: float


def paired_t(differences: Sequence[float], confidence: float = 0.95) -> Paired:
    """Student's t interval and test of paired differences: d̄ ± t_{n−1} s/√n (Student 1908).

    Differences that are all the same have no spread to judge by: p is then 1 where they are 0, else that
    of the sign test, 2^(1−n).

    Args:
        differences: first minus second treatment, one for each unit; units are independent.
        confidence: share of such intervals that cover the true mean.

    Raises:
        TriptychError: fewer than two differences, or one that is not finite.

    Example:
        >>> found = paired_t([1.0, 2.0, 3.0])
        >>> found.mean, round(found.stderr, 4), round(found.low, 3), round(found.p, 4)
        (2.0, 0.5774, -0.484, 0.0742)
    """
    d = np.asarray(differences, dtype=np.float64)
    n = len(d)
    if n < 2:
        raise TriptychError(f"a paired comparison needs two pairs or more; there are {n}")
    if not np.isfinite(d).all():
        raise TriptychError(
            f"{int((~np.isfinite(d)).sum())} of {n} paired differences are not finite numbers"
        )
    mean, stderr = float(d.mean()), float(d.std(ddof=1)) / math.sqrt(n)
    half = float(stdtrit(n - 1, 0.5 + confidence / 2)) * stderr
    if (d == d[0]).all():
        # Of equal numbers the mean may be off by a rounding, and their spread then not 0.
        mean, stderr, half = float(d[0]), 0.0, 0.0
        p = 2.0 ** (1 - n) if mean else 1.0
    else:
        p = 2 * float(stdtr(n - 1, -abs(mean) / stderr))
    return Paired(n, mean, stderr, mean - half, mean + half, p)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given (Holm 1979).

    The i-th smallest of m is max over j ≤ i of min(1, (m − j + 1) p₍ⱼ₎):
    rejecting those below α keeps the chance of any false rejection below α,
    whatever the dependence between the tests.

    Example:
        >>> [round(q, 3) for q in holm([0.04, 0.01, 0.03])]
        [0.06, 0.03, 0.06]
    """
    raw = np.asarray(p, dtype=np.float64)
    order = raw.argsort(kind="stable")
    stepped = raw[order] * np.arange(len(raw), 0, -1)
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return [float(q) for q in adjusted]
