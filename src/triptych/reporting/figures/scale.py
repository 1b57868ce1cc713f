"""Axes of curves: what they reach to, and their ticks, in a chart of the page and in a figure alike."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from triptych.reporting.words import plain

__all__ = ["LOWEST", "Range", "apart", "fitted", "log_ticks", "tick", "ticks", "ticks_of"]

FIRST = 0.05
"""Share of the training whose values may lie outside of axes, where they would flatten the rest."""

FLAT = 3.0
"""The first values flatten the rest where they stretch the axis by more than this."""

PAD, HEADROOM = 0.06, 0.11
"""Share of an axis beyond the values; and above them, where the names of levels need room."""

LEAST = 5.0
"""Per cent that an axis shows at least: one image more or less is no landslide."""

LOWEST = 0.9
"""Where a logarithmic axis begins: what has one is a rank, which is 1 at least or nothing."""

CLOSE = 0.75
"""Share of the wanted distance that ticks may be closer: two on an axis are too few."""

PLAIN = (1e-4, 1e7)
"""Between these sizes a number is written without a power of ten."""

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Range(NamedTuple):
    """Lowest and highest value of an axis, and whether values of the beginning lie outside."""

    low: float
    high: float
    cut: bool = False


def fitted(
    points: Sequence[tuple[float, float]],
    end: float,
    reach: Iterable[float] = (),
    *,
    named: bool = False,
    percent: bool = False,
    log: bool = False,
) -> Range:
    """The axis of values, given as pairs of epoch and value up to the epoch ``end``, that ``reach`` is inside too.

    Where levels are ``named``, there is room for words above. All values are inside, but those of the first part where they would flatten the rest. An axis that reaches to 0
    ends there, if nothing lies beyond; one of shares in per cent begins at 0 and ends at 100 at most.

    Example:
        >>> fitted([(1.0, 20.0), (2.0, 50.0)], 2.0, percent=True)
        Range(low=0.0, high=53.0, cut=False)
        >>> fitted([(0.1, -900.0), (10.0, -200.0), (20.0, -100.0)], 20.0)
        Range(low=-206.0, high=-94.0, cut=True)
    """
    held = [*reach, *((0.0,) if percent else ())]
    every = [value for _, value in points] + held
    after = [value for epoch, value in points if epoch >= FIRST * end]
    later = after + held
    # One point alone is no rest that could be flattened.
    cut = not log and len(after) > 1 and _span(every) > FLAT * _span(later) > 0
    kept = later if cut else every
    if log:
        return Range(LOWEST, max(12.0, max(kept) * 1.4))
    low, high = min(kept), max(kept)
    pad = PAD * (high - low) or abs(high) * 0.1 or 1.0
    below, above = low - pad, high + (HEADROOM * (high - low) if named and high > low else pad)
    if 0.0 in held:
        # Nothing is below nothing.
        below = 0.0 if low == 0 else below
        above = 0.0 if high == 0 > low else above
    if percent:
        above = max(above, LEAST) if high > 100 else min(max(above, LEAST), 100.0)
    return Range(below, above, cut)


def _span(values: Sequence[float]) -> float:
    return max(values) - min(values)


def ticks_of(low: float, high: float, values: Iterable[float], *, log: bool = False) -> list[float]:
    """The ticks of an axis of these values: whole where every value is, as of what is counted."""
    if log:
        return log_ticks(low, high)
    return ticks(low, high, whole=all(float(value).is_integer() for value in values))


def ticks(low: float, high: float, count: int = 5, *, whole: bool = False) -> list[float]:
    """About ``count`` round numbers from ``low`` to ``high``.

    Example:
        >>> ticks(0.0, 8.0), ticks(-0.98, -0.2)
        ([0.0, 2.0, 4.0, 6.0, 8.0], [-0.8, -0.6, -0.4, -0.2])
        >>> ticks(0.0, 2.0), ticks(0.0, 2.0, whole=True)
        ([0.0, 0.5, 1.0, 1.5, 2.0], [0.0, 1.0, 2.0])
    """
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= CLOSE * rough)
    step = max(step, 1.0) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    decimals = max(0, 2 - math.floor(math.log10(step)))
    return [round(i * step, decimals) + 0.0 for i in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 and their tenfolds from ``low`` to ``high``; powers of ten alone where those are many.

    Example:
        >>> log_ticks(0.9, 12.0), log_ticks(0.9, 2000.0)
        ([1.0, 2.0, 5.0, 10.0], [1.0, 10.0, 100.0, 1000.0])
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    heads = (1, 2, 5) if high / low < 200 else (1,)
    found = [round(head * 10.0**power, 12) for power in powers for head in heads]
    return [value for value in found if low <= value <= high]


def tick(value: float) -> str:
    """A tick in type; with a power of ten only where it would be very long.

    Example:
        >>> tick(-16500.0), tick(0.0005), tick(2e-05), tick(-1.5e8), tick(0.0)
        ('−16,500', '0.0005', '2 × 10⁻⁵', '−1.5 × 10⁸', '0')
    """
    least, most = PLAIN
    if value == 0 or least <= abs(value) < most:
        return plain(value)
    power = math.floor(math.log10(abs(value)) + 1e-9)
    return f"{plain(value / 10.0**power, 3)} × 10{str(power).translate(_RAISED)}"


def apart(heights: Sequence[float], gap: float, top: float = 1.0) -> list[float]:
    """Heights up to ``top`` as near to the given as they can be in their order with ``gap`` between them.

    Example:
        >>> apart([0.5, 0.5, 1.0], 0.125)
        [0.5, 0.625, 1.0]
    """
    order = np.argsort(heights, kind="stable")
    placed = np.array(heights)[order]
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    placed[-1:] = np.minimum(placed[-1:], top)
    for i in reversed(range(len(placed) - 1)):
        placed[i] = min(placed[i], placed[i + 1] - gap)
    found = np.empty_like(placed)
    found[order] = placed
    return [float(height) for height in found]
