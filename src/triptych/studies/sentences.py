"""What a study says of two arms, in one sentence: higher, lower, undecided, or why it says nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from triptych.evaluation.statistics import Paired
from triptych.reporting.findings.finding import both
from triptych.reporting.words import signed
from triptych.studies.ranking import LEVEL, ROUNDING
from triptych.studies.values import grouped

__all__ = ["absent", "elsewhere", "finding", "lone_finding", "unlike"]

ONE_SEED = "one seed, so no interval: another may say otherwise; add seeds"


def finding(
    name: str,
    arm: str,
    control: str,
    test: Paired,
    adjusted: float,
    comparisons: int,
    unit: str = "",
) -> str:
    """Higher, lower, or undecided, with the interval of the mean of arm − control; ``name`` is the metric's title.

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
    if test.stderr <= ROUNDING * abs(test.mean):
        return _constant(name, arm, control, test, unit)
    side = f"{'higher' if test.mean > 0 else 'lower'} in {arm} than in {control}"
    size = f"{signed(abs(test.mean), digits)}{unit}"
    if test.low <= 0 <= test.high:
        mean = f"{'+' if test.mean > 0 else ''}{signed(test.mean, digits)}{unit}"
        return f"{name}: undecided between {arm} and {control}: {mean} {evidence}; add seeds."
    if adjusted >= LEVEL:
        return f"{name} may be {side}, by {size}, but with so many comparisons it is not sure {evidence}; add seeds."
    return f"{name} is {side}, by {size} {evidence}."


def _constant(name: str, arm: str, control: str, test: Paired, unit: str) -> str:
    """Differences without any spread, of counts say, to which Student's interval does not apply."""
    if test.mean == 0:
        return f"{name} is the same in {arm} and {control} with each of {test.n} seeds."
    side = "higher" if test.mean > 0 else "lower"
    size = f"{signed(abs(test.mean), _digits(0.0, test.mean))}{unit}"
    return f"{name} is {size} {side} in {arm} than in {control} with each of {test.n} seeds."


def lone_finding(
    name: str, arm: str, control: str, differences: Sequence[float], unit: str = ""
) -> str:
    """What can be said without two pairs: one difference and no interval, or nothing.

    Example:
        >>> lone_finding("loss", "a", "b", [-0.25])
        'loss: undecided between a and b: −0.25 (one seed, so no interval: another may say otherwise; add seeds).'
    """
    if not differences:
        return f"{name}: no seed gave both {arm} and {control} a value."
    (difference,) = differences
    said = signed(difference, _digits(difference, difference)) if difference else "0"
    plus = "+" if difference > 0 else ""
    return f"{name}: undecided between {arm} and {control}: {plus}{said}{unit} ({ONE_SEED})."


def _digits(width: float, mean: float) -> int:
    """Decimals that show the width of an interval, or a lone number, to two figures or so."""
    scale = abs(width) or abs(mean) or 1.0
    return min(6, max(0, 1 - math.floor(math.log10(scale))))


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def unlike(name: str, arms: Sequence[str], bases: Mapping[str, str]) -> list[str]:
    """Why there is no difference between arms that do not minimise the same.

    Example:
        >>> unlike("training loss", ["b", "c"], {"b": "a", "c": "a"})
        ['training loss is in units of what an arm minimises, and compared only between arms of one method and one
        objective; b and c minimise something else than a.']
    """
    if not arms:
        return []
    others = [
        f"{both(group)} {'minimise' if len(group) > 1 else 'minimises'} something else than {bases[group[0]]}"
        for group in grouped(bases, arms)
    ]
    return [
        f"{name} is in units of what an arm minimises, and compared only between arms of one method and one objective; "
        f"{', '.join(others)}."
    ]


def absent(name: str, arms: Sequence[str]) -> list[str]:
    """Which arms have no value at all: their methods cannot be measured so, or their runs have none."""
    return [f"{name} was measured in no run of {both(arms)}."] if arms else []


def elsewhere(name: str, why: Mapping[str, str]) -> list[str]:
    """Which arms are left out, since they were made or measured in another way.

    Example:
        >>> elsewhere("test kNN top-1", {"b": "'k' is 200 for a, seed 0, but 20 for b, seed 0"})
        ["test kNN top-1 is shown and compared without b, made or measured in another way: 'k' is 200 for a, seed 0, but 20 for b, seed 0."]
    """
    if not why:
        return []
    first = next(iter(why.values()))
    return [
        f"{name} is shown and compared without {both(list(why))}, made or measured in another way: {first}."
    ]
