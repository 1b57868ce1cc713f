"""Panels of curves as figures for papers have them: lines, levels they are held against, and their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator
from matplotlib.transforms import Bbox, TransformedBbox

from triptych.reporting.figures.panels import Line, Panel
from triptych.reporting.figures.scale import LOWEST, apart, tick, ticks_of
from triptych.reporting.figures.style import INK, MM_AN_INCH
from triptych.reporting.looks import LEVEL, LOOKS, OVERLAID, Look

__all__ = [
    "THIN",
    "draw_levels",
    "draw_line",
    "draw_panel",
    "key",
    "name_ends",
    "on_axis",
    "pen",
    "titled",
]

FEW = 40
"""Points up to which each gets a mark: a line of one point cannot be seen."""

LINE = 3.0
"""Millimetres from one line of type to the next."""

SIZE = 6.0
"""Points of the words at a level."""

THIN = 0.7
"""Width of what is laid over."""

DOTTED = (0, (1, 1.5))

BROAD = Bbox([[-0.02, -0.02], [1.02, 1.02]])
"""What lines may be drawn in, in units of their axes: marks at an edge are whole."""

PAPER: Any = {"frameon": True, "framealpha": 0.85, "edgecolor": "none", "borderpad": 0.1}
"""Of legends and words: lines are not to run through them."""


def pen(look: Look) -> dict[str, Any]:
    """Colour and dashes as matplotlib takes them."""
    return {"color": look.light, "linestyle": (0, look.dash) if look.dash else "-"}


def draw_panel(
    axes: Axes, panel: Panel, marked: Sequence[float] = (), *, labels: bool = True
) -> None:
    """Draw a panel, with a dotted line at every ``marked`` epoch and, with ``labels``, words at the levels."""
    on_axis(axes, panel)
    draw_levels(axes, panel, labels=labels)
    for line in panel.lines:
        # The marks of what is laid over would hide the run's own.
        few = len(line.epochs) < 2 if line.over else len(line.epochs) <= FEW
        draw_line(axes, panel, line, marker="o" if few else "", markersize=2.0)
    axes.set_title(titled(panel), parse_math=False)
    for epoch in marked:
        axes.axvline(epoch, color=INK, linestyle=DOTTED, linewidth=1.0)


def titled(panel: Panel) -> str:
    """The title of a panel: its ticks say that they are per cent."""
    return panel.title.removesuffix(", %")


def draw_line(axes: Axes, panel: Panel, line: Line, **more: Any) -> None:
    """Draw one line of a panel: what is laid over is thin, in the colour of what it belongs to."""
    values = [max(value, LOWEST) for value in line.values] if panel.log else line.values
    look = LOOKS[line.number]
    if line.over:
        look, more = look._replace(dash=LOOKS[OVERLAID].dash), {**more, "linewidth": THIN}
    (drawn,) = axes.plot(line.epochs, values, label=line.name, **{**pen(look), **more})
    drawn.set_clip_box(TransformedBbox(BROAD, axes.transAxes))


def on_axis(axes: Axes, panel: Panel) -> None:
    """Give axes the range and the ticks of a panel: those of its chart."""
    low, high, _ = panel.axis
    if panel.log:
        axes.set_yscale("log")
        axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylim(low, high)
    axes.set_xlim(0, panel.end)
    up = ticks_of(low, high, panel.values, log=panel.log)
    unit = "\u00a0%" if panel.unit == "%" else ""
    for axis, at, after in ((axes.xaxis, panel.epochs, ""), (axes.yaxis, up, unit)):
        axis.set_major_locator(FixedLocator(at))
        axis.set_major_formatter(FixedFormatter([f"{tick(value)}{after}" for value in at]))


def draw_levels(axes: Axes, panel: Panel, *, labels: bool = True) -> None:
    """Draw every level, with name and value at its line, one above the other where they are near."""
    for level in panel.levels:
        axes.axhline(level.value, label=level.name, linewidth=0.9, zorder=1.5, **pen(LEVEL))
    if not labels:
        return
    inches = axes.get_position().height * axes.figure.get_figheight()  # type: ignore[union-attr]
    heights = panel.words(LINE / (inches * MM_AN_INCH))
    for level, height in zip(panel.levels, heights, strict=True):
        words = axes.text(
            *(0.995, height, panel.said(level)),
            transform=axes.transAxes,
            color=LEVEL.light,
            fontsize=SIZE,
            ha="right",
            va="center",
        )
        words.set_bbox({"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.2})


def key(axes: Axes, panel: Panel, **more: Any) -> None:
    """A legend of a panel's lines where they are several; its levels have their names at their lines."""
    drawn = [line for line in axes.get_lines() if line.get_label() in {p.name for p in panel.lines}]
    if len(drawn) > 1:
        axes.legend(
            handles=drawn, **{"loc": "best", "fontsize": 6.5, "borderaxespad": 0.2, **PAPER, **more}
        )


def name_ends(axes: Axes, panel: Panel, tall: float) -> None:
    """Write the name and the last value of every line and level where it ends, beside axes of this height in mm."""
    low, high, _ = panel.axis
    ends = [(line.name, line.values[-1], LOOKS[line.number].light) for line in panel.lines]
    ends += [(level.name, level.value, LEVEL.light) for level in panel.levels]
    heights = [panel.height(value, low, high) for _, value, _ in ends]
    for (name, value, colour), height in zip(ends, apart(heights, LINE / tall), strict=True):
        axes.text(
            *(1.015, height, f"{name} {value:.1f}\u00a0%"),
            transform=axes.transAxes,
            color=colour,
            va="center",
            clip_on=False,
        )
