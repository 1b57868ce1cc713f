"""Intervals and tests: paired differences by Student's t, Holm's correction, proportions by Wilson."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

from triptych.errors import TriptychError
from triptych.intervals import Z, wilson
from triptych.runs import Result

__all__ = ["Paired", "holm", "paired_t", "proportion", "share_error"]


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


def share_error(share: float, n: int) -> float:
    """Standard error √(p(1−p)/n) of a share of n; at 0 and 1, where that is 0, Wilson's interval over 2z.

    Example:
        >>> share_error(0.5, 100), round(share_error(1.0, 10), 4)
        (0.05, 0.0708)
    """
    if 0 < share < 1:
        return math.sqrt(share * (1 - share) / n)
    low, high = wilson(share, n)
    return (high - low) / (2 * Z)


def proportion(
    share: float, n: int, protocol: Mapping[str, str | int | float], note: str = ""
) -> Result:
    """A share of n independent images as a result, with its binomial error and Wilson's interval."""
    low, high = wilson(share, n)
    said = [f"95 % interval {low:.3f} to {high:.3f} (Wilson)"]
    if share in (0, 1):
        said.append("the error is half of the interval in its units, as the binomial one is 0")
    return Result(share, share_error(share, n), n, protocol, "; ".join(filter(None, [*said, note])))
