"""Curves over a training as pictures that scripts can read: drawn once as SVG, hovered in the browser.

Without scripts, and on paper, the drawing is all there. What belongs into a chart, its looks and its axes are those of
`figures.panels`, from which the figures for papers are drawn too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from triptych.reporting.figures.panels import Curve, Line, Panel
from triptych.reporting.figures.quantities import panels
from triptych.reporting.figures.scale import tick, ticks_of
from triptych.reporting.words import number, plain
from triptych.runs import Run

__all__ = ["Chart", "Mark", "Series", "charts", "plot", "repeated"]

WIDTH, HEIGHT = 640.0, 240.0
"""Units of the drawing, which is stretched over its place on the page; what is written beside it is not."""

MOST = 400
"""Points of a line that are kept: more cannot be told apart, and the page is to stay small."""

FAR = 4.0
"""Heights of the drawing beyond which a point is drawn no farther out: nobody sees it there."""

APART = 0.085
"""Share of a chart's height from one label to the next."""


@dataclass(frozen=True)
class Series:
    """A line as it is drawn: the points' epochs and values, and paths in the units of the drawing."""

    name: str
    epochs: list[float]
    values: list[float]
    number: int
    path: str
    threads: list[str]
    over: bool = False


@dataclass(frozen=True)
class Mark:
    """What is held against the curves: a line across, with its label as high as there is room for it."""

    name: str
    said: str
    """Name and value, as they stand at the line."""
    y: float
    """Place of the line in the drawing."""
    label: float
    """Place of the label's middle, in per cent of the height."""


@dataclass(frozen=True)
class Chart:
    """Lines in one pair of axes, with all that is needed to draw them."""

    name: str
    title: str
    series: list[Series]
    marks: list[Mark]
    across: list[tuple[float, str]]
    """Place and text of the ticks along the epochs, and of those along the values, in per cent of width and height."""
    up: list[tuple[float, str]]
    alarms: list[float]
    """Places of the epochs since which an alarm is true."""
    cut: bool
    """Whether a value of the beginning lies outside the axes."""
    ranges: tuple[float, float, float, float]
    """First and last epoch, lowest and highest value."""
    panel: Panel
    """What is drawn."""
    width: float = WIDTH
    height: float = HEIGHT

    @property
    def said(self) -> str:
        """The chart in words, for those who cannot see it.

        Example:
            >>> line = Line("training", [0.0, 8.0], [1.0, 3.0], 0)
            >>> from triptych.reporting.figures.panels import Level
            >>> plot(Panel("loss", "loss", [line], [Level("chance", 2.5)])).said
            'loss over 8 epochs: training from 1.000 to 3.000; level of chance 2.5.'
        """
        ends = [
            f"{s.name} from {number(s.values[0])} to {number(s.values[-1])}" for s in self.series
        ]
        held = [f"level of {mark.said}" for mark in self.marks]
        cut = " The first values lie outside." if self.cut else ""
        return f"{self.title} over {plain(self.ranges[1], 2)} epochs: {'; '.join([*ends, *held])}.{cut}"

    @property
    def longest(self) -> str:
        """The tick that needs the most room beside the axis."""
        return max((text for _, text in self.up), key=len, default="")


def charts(run: Run, laid_over: Mapping[str, Line] | None = None) -> list[Chart]:
    """A chart of every term that a run logged, with what is to be laid over a chart by its name."""
    steps = {e["step"]: e["epoch"] for e in run.metrics() if "epoch" in e}
    alarms = [steps[since] for since, _ in run.alarms() if since in steps]
    over = laid_over or {}
    found = []
    for panel in panels(run):
        lines = [line for line in panel.lines if len(line.epochs) > 1]
        if lines:
            lines += [over[panel.name]] if panel.name in over else []
            found.append(plot(replace(panel, lines=lines), alarms))
    return found


def repeated(found: Sequence[Chart], figures: Collection[str]) -> set[str]:
    """Those of the figures, by name, that show again what charts show: a page has them as files, and does not show them.

    Example:
        >>> chart = plot(Panel("kl", "KL", [Line("training", [0.0, 1.0], [1.0, 2.0], 0)], figure="elbo-curve"))
        >>> repeated([chart], ["elbo-curve", "samples", "critic-curves"])
        {'elbo-curve'}
    """
    return {chart.panel.figure for chart in found} & {*figures}


def _thinned(curve: Curve) -> Curve:
    """Of very many points only some, the last among them."""
    epochs, values = curve
    every = max(1, len(epochs) // MOST)
    last = [-1] if epochs and (len(epochs) - 1) % every else []
    kept = [*range(0, len(epochs), every), *last]
    return [epochs[i] for i in kept], [values[i] for i in kept]


def plot(panel: Panel, alarms: Sequence[float] = ()) -> Chart:
    """A panel as it is drawn: lines in axes that fit them, but for the beginning."""
    (low, high, cut), end = panel.axis, panel.end

    def x(epoch: float) -> float:
        return round(WIDTH * epoch / end, 1)

    def share(value: float) -> float:
        return panel.height(value, low, high)

    def path(curve: Curve) -> str:
        points = zip(*_thinned(curve), strict=True)
        far = [(e, min(max(1 - share(v), -FAR), FAR)) for e, v in points]
        return "M" + "L".join(f"{x(e)} {round(HEIGHT * down, 1)}" for e, down in far)

    drawn = [
        Series(
            line.name,
            *_thinned((line.epochs, line.values)),
            line.number,
            path((line.epochs, line.values)),
            [path(thread) for thread in line.threads],
            line.over,
        )
        for line in panel.lines
    ]
    marks = [
        Mark(
            level.name,
            panel.said(level),
            round(HEIGHT * (1 - share(level.value)), 1),
            _percent(1 - label),
        )
        for level, label in zip(panel.levels, panel.words(APART), strict=True)
    ]
    up = ticks_of(low, high, panel.values, log=panel.log)
    return Chart(
        panel.name,
        panel.title,
        drawn,
        marks,
        [(_percent(epoch / end), tick(epoch)) for epoch in panel.epochs],
        [(_percent(1 - share(value)), tick(value)) for value in up],
        [x(epoch) for epoch in alarms],
        cut,
        (0.0, end, low, high),
        panel,
    )


def _percent(share: float) -> float:
    return round(100 * share, 2)
