"""Small multiples of curves over the epochs: lines, levels they are held against, and their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import YAxis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from triptych.reporting.figures.style import INK
from triptych.reporting.words import plain

__all__ = ["DASHDOT", "DASHED", "DOTTED", "Curve", "Line", "Panel", "draw_panel", "name_ends"]

Curve = tuple[list[float], list[float]]

FEW = 40
"""Points up to which each gets a mark: a line of one point cannot be seen."""

LEAST = 5.0
"""Per cent that an axis shows at least: one image more or less is no landslide."""

LINE = 3.0
"""Millimetres from one line of type to the next."""

DASHED, DOTTED, DASHDOT = (0, (4, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5))


class Line(NamedTuple):
    """A curve over the epochs, or a level that a curve is held against: one value and no epochs."""

    name: str
    curve: Curve
    colour: str
    style: Any = "-"


class Panel(NamedTuple):
    """Lines in one pair of axes; its lowest and highest value where the data do not decide."""

    title: str
    lines: list[Line]
    low: float = 0.0
    high: float | None = None
    percent: bool = False
    log: bool = False


def draw_panel(axes: Axes, panel: Panel, end: float, marked: Sequence[float] = ()) -> None:
    """Draw a panel from epoch 0 to ``end``, with a dotted line at every ``marked`` epoch."""
    for name, (epochs, values), colour, style in panel.lines:
        look: Any = {"color": colour, "linestyle": style, "label": name}
        if epochs:
            mark = "o" if len(epochs) <= FEW else ""
            axes.plot(epochs, values, marker=mark, markersize=2.0, **look)
        else:
            axes.axhline(values[0], linewidth=0.9, **look)
    highest = max((v for line in panel.lines for v in line.curve[1]), default=1.0)
    least = panel.low + (LEAST if panel.percent else 0.1)
    high = max(1.08 * highest, least) if panel.high is None else panel.high
    _scale(axes.yaxis, panel, high)
    axes.set_ylim(panel.low, high)
    axes.set_xlim(0, end * 1.02 or 1)
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=end >= 3))
    axes.set_title(panel.title)
    for epoch in marked:
        axes.axvline(epoch, color=INK, linestyle=DOTTED, linewidth=1.0)


def _scale(axis: YAxis, panel: Panel, high: float) -> None:
    if panel.log:
        axis.axes.set_yscale("log")
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 else (1,)))
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    unit = "\u00a0%" if panel.percent else ""
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{plain(v)}{unit}"))


def name_ends(axes: Axes, lines: Sequence[Line], tall: float) -> None:
    """Write the name and the last value of every line where it ends."""
    low, high = axes.get_ylim()
    heights = [(line.curve[1][-1] - low) / (high - low) for line in lines]
    for line, height in zip(lines, _apart(heights, LINE / tall), strict=True):
        words = f"{line.name} {line.curve[1][-1]:.1f}\u00a0%"
        axes.text(
            *(1.015, height, words),
            transform=axes.transAxes,
            color=line.colour,
            va="center",
            clip_on=False,
        )


def _apart(heights: Sequence[float], gap: float) -> list[float]:
    """Heights in [0, 1] as near to the given as they can be in their order with ``gap`` between them."""
    order = np.argsort(heights, kind="stable")
    placed = np.array(heights)[order]
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    placed[-1] = min(placed[-1], 1.0)
    for i in reversed(range(len(placed) - 1)):
        placed[i] = min(placed[i], placed[i + 1] - gap)
    found = np.empty_like(placed)
    found[order] = placed
    return [float(height) for height in found]
