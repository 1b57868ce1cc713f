"""What belongs into one pair of axes: lines, the levels they are held against, and where they end.

A panel is drawn twice, as a chart of the page and in a figure for papers, with the same looks, axis and levels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from triptych.reporting.figures.scale import LOWEST, Range, apart, fitted, ticks
from triptych.reporting.words import plain, signed

__all__ = ["Curve", "Level", "Line", "Panel"]

Curve = tuple[list[float], list[float]]

ACROSS = 0.4
"""Share of the width that the words of a level take."""

WHOLE = 3.0
"""Epochs from which on their ticks are whole."""


@dataclass(frozen=True)
class Line:
    """What is to be drawn as one line, with thinner ones that it is the mean of."""

    name: str
    epochs: list[float]
    values: list[float]
    number: int
    """Which of `looks.LOOKS` it has."""
    threads: list[Curve] = field(default_factory=list)
    over: bool = False
    """Whether it is laid over a run's own lines, which alone decide where the epochs end."""


class Level(NamedTuple):
    """A value that needs no training, and what has it."""

    name: str
    value: float


@dataclass(frozen=True)
class Panel:
    """Lines and levels in one pair of axes."""

    name: str
    """As findings and pages call it."""
    title: str
    lines: list[Line]
    levels: list[Level] = field(default_factory=list)
    reach: tuple[float, ...] = ()
    """Values that the axis reaches to, besides those that are drawn."""
    unit: str = ""
    log: bool = False
    figure: str = ""
    """The figure for papers that shows the same."""

    @property
    def end(self) -> float:
        """The last epoch."""
        return max(epoch for line in self.lines if not line.over for epoch in line.epochs) or 1.0

    @property
    def axis(self) -> Range:
        """Where the values' axis begins and ends."""
        curves = [c for line in self.lines for c in ((line.epochs, line.values), *line.threads)]
        end = self.end
        points = [(e, v) for curve in curves for e, v in zip(*curve, strict=True) if e <= end]
        reach = [*self.reach, *(level.value for level in self.levels)]
        return fitted(
            points,
            end,
            reach,
            named=bool(self.levels),
            percent=self.unit == "%",
            log=self.log,
        )

    @property
    def epochs(self) -> list[float]:
        """The ticks of the epochs: whole ones where there are some."""
        return ticks(0.0, self.end, whole=self.end >= WHOLE)

    @property
    def values(self) -> list[float]:
        """Every value of a line."""
        return [value for line in self.lines for value in line.values]

    def placed(self, value: float) -> float:
        """A value as it lies on the axis, before that is stretched: features that are all the same have rank 0, which no logarithmic axis has."""
        return math.log10(max(value, LOWEST)) if self.log else value

    def height(self, value: float, low: float, high: float) -> float:
        """How far up an axis from ``low`` to ``high`` a value is, 1 being its top."""
        bottom = self.placed(low)
        return (self.placed(value) - bottom) / (self.placed(high) - bottom)

    def words(self, gap: float) -> list[float]:
        """How high the words of every level stand, in the middle, where a line of type takes the share ``gap`` of the height.

        At the right end, above their line or, where fewer curves run, below it, and none upon another.
        """
        if not self.levels:
            return []
        (low, high, _), late_from = self.axis, (1 - ACROSS) * self.end
        late = [
            self.height(v, low, high)
            for line in self.lines
            for e, v in zip(line.epochs, line.values, strict=True)
            if e >= late_from
        ]

        def beside(level: float) -> float:
            above = sum(level < height < level + gap for height in late)
            below = sum(level - gap < height < level for height in late)
            under = level > gap and (below < above or level + gap > 1)
            return level - gap / 2 if under else level + gap / 2

        heights = [beside(self.height(level.value, low, high)) for level in self.levels]
        return apart(heights, gap, 1 - gap / 2)

    def said(self, level: Level) -> str:
        """Name and value of a level, as they stand at its line."""
        percent = self.unit == "%"
        value = f"{signed(level.value, 1)}\u00a0%" if percent else plain(level.value, 4)
        return f"{level.name} {value}"
