"""What a paired difference says, in one sentence that follows the numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from triptych.evaluation.statistics import Paired
from triptych.reporting.words import signed

__all__ = ["finding", "lone_finding"]

ONE_SEED = "one seed, so no interval: another may say otherwise; add seeds"

LEVEL = 0.05
"""Adjusted p-values below it are called a difference."""


def finding(
    metric: str, arm: str, control: str, test: Paired, adjusted: float, comparisons: int
) -> str:
    """Higher, lower, or undecided, with the interval of the mean of arm − control.

    ``adjusted`` is the p-value after Holm's correction for ``comparisons`` arms. An interval that has
    0 in it decides nothing: it says how large a difference may be. One
    without 0 whose adjusted p is above the level is told apart from both.

    Example:
        >>> finding("loss", "a", "b", Paired(3, 0.2, 0.01, 0.157, 0.243, 0.0025), 0.005, 2)
        'loss is higher in a than in b, by 0.200 (95 % interval of a − b: 0.157 to 0.243, 3 seeds;
        p = 0.005 adjusted for 2 comparisons).'
    """
    digits = _digits(test.high - test.low, test.mean)
    low, high = signed(test.low, digits), signed(test.high, digits)
    evidence = (
        f"(95 % interval of {arm} − {control}: {low} to {high}, {test.n} seeds; {_p(adjusted)}"
        f"{f' adjusted for {comparisons} comparisons' if comparisons > 1 else ''})"
    )
    # Differences that are all the same but for rounding.
    if test.stderr <= 1e-9 * abs(test.mean):
        return _constant(metric, arm, control, test)
    side = f"{'higher' if test.mean > 0 else 'lower'} in {arm} than in {control}"
    size = signed(abs(test.mean), digits)
    if test.low <= 0 <= test.high:
        mean = f"{'+' if test.mean > 0 else ''}{signed(test.mean, digits)}"
        return f"{metric}: undecided between {arm} and {control}: {mean} {evidence}; add seeds."
    if adjusted >= LEVEL:
        return f"{metric} may be {side}, by {size}, but with so many comparisons it is not sure {evidence}; add seeds."
    return f"{metric} is {side}, by {size} {evidence}."


def _constant(metric: str, arm: str, control: str, test: Paired) -> str:
    """Differences without any spread, of counts say, to which Student's interval does not apply."""
    if test.mean == 0:
        return f"{metric} is the same in {arm} and {control} with each of {test.n} seeds."
    side = "higher" if test.mean > 0 else "lower"
    size = signed(abs(test.mean), _digits(0.0, test.mean))
    return f"{metric} is {size} {side} in {arm} than in {control} with each of {test.n} seeds."


def lone_finding(metric: str, arm: str, control: str, differences: Sequence[float]) -> str:
    """What can be said without two pairs: one difference and no interval, or nothing.

    Example:
        >>> lone_finding("loss", "a", "b", [-0.25])
        'loss: undecided between a and b: −0.25 (one seed, so no interval: another may say otherwise; add seeds).'
    """
    if not differences:
        return f"{metric}: no seed gave both {arm} and {control} a value."
    (difference,) = differences
    said = signed(difference, _digits(difference, difference)) if difference else "0"
    plus = "+" if difference > 0 else ""
    return f"{metric}: undecided between {arm} and {control}: {plus}{said} ({ONE_SEED})."


def _digits(width: float, mean: float) -> int:
    """Decimals that show the width of an interval, or a lone number, to two figures or so."""
    scale = abs(width) or abs(mean) or 1.0
    return min(6, max(0, 1 - math.floor(math.log10(scale))))


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
