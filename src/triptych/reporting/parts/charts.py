"""Curves over a training as pictures that scripts can read: drawn once as SVG, hovered in the browser.

Without scripts, and on paper, the drawing is all there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from triptych.metrics import SPLITS, metric
from triptych.reporting.figures.training import terms
from triptych.reporting.words import number, plain
from triptych.runs import Run

__all__ = ["Chart", "Line", "Series", "charts", "curve", "plot", "slug", "ticks"]

WIDTH, HEIGHT = 640.0, 280.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 14.0, 10.0, 44.0
"""Units of the drawing, which is as wide as its place on the page, and the margins in it."""

MOST = 400
"""Points of a line that are kept: more cannot be told apart, and the page is to stay small."""

FIRST = 0.05
"""Share of the training whose values may lie outside the axes: the first steps would flatten the rest."""

FAR = 4.0
"""Heights of the drawing beyond which a point is drawn no farther out: nobody sees it there."""

WANTED: Mapping[str, tuple[str, ...]] = {
    "elbo": ("train/elbo", "valid/elbo"),
    "critic-gap": ("train/critic_gap", "valid/critic_gap"),
    "penalty": ("train/penalty",),
    "gradient-norm": ("train/gradient_norm",),
    "diversity": ("samples/diversity",),
    "train-loss": ("train/loss", "valid/loss"),
    "test-knn-top1": ("test/knn_top1", "valid/knn_top1"),
    "features-std": ("features/std",),
    "rank": ("features/effective_rank", "features/backbone_rank"),
}
"""Charts that come first where a run logged one of their metrics; then every other term has one of its own."""

OVERLAID = 9
"""The look of a line that is laid over a run's own."""


@dataclass(frozen=True)
class Line:
    """What is to be drawn as one line, with thinner ones that it is the mean of."""

    name: str
    epochs: list[float]
    values: list[float]
    number: int | None
    """Which colour and dash of the page's it has; none of what is laid over a run's own, which the axes do not fit."""
    threads: list[tuple[list[float], list[float]]] = field(default_factory=list)


@dataclass(frozen=True)
class Series:
    """A line as it is drawn: the points' epochs and values, and paths in the units of the drawing."""

    name: str
    epochs: list[float]
    values: list[float]
    number: int
    path: str
    threads: list[str]


@dataclass(frozen=True)
class Chart:
    """Lines in one pair of axes, with all that is needed to draw them."""

    name: str
    title: str
    series: list[Series]
    across: list[tuple[float, str]]
    """Place and text of the ticks along the epochs, and of those along the values."""
    up: list[tuple[float, str]]
    alarms: list[float]
    """Places of the epochs since which an alarm is true."""
    cut: bool
    """Whether a value of the beginning lies outside the axes."""
    ranges: tuple[float, float, float, float]
    """First and last epoch, lowest and highest value."""
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    bottom: float = HEIGHT - BOTTOM
    top: float = TOP
    right: float = WIDTH - RIGHT

    @property
    def said(self) -> str:
        """The chart in words, for those who cannot see it."""
        ends = [
            f"{s.name} from {number(s.values[0])} to {number(s.values[-1])}" for s in self.series
        ]
        return f"{self.title} over {plain(self.ranges[1], 2)} epochs: {'; '.join(ends)}."


def charts(run: Run, laid_over: Mapping[str, Line] | None = None) -> list[Chart]:
    """A chart of every term that a run logged, with what is to be laid over a chart by its name."""
    steps = {e["step"]: e["epoch"] for e in run.metrics() if "epoch" in e}
    alarms = [steps[since] for since, _ in run.alarms() if since in steps]
    found = []
    for name, metrics in _wanted(run).items():
        lines = _lines(run, metrics)
        if lines:
            over = [laid_over[name]] if laid_over and name in laid_over else []
            found.append(plot(name, _title(name, metrics), [*lines, *over], alarms))
    return found


def _wanted(run: Run) -> dict[str, tuple[str, ...]]:
    """The metrics of each chart: those that have a place, and then every other term, its splits together."""
    placed = {name for names in WANTED.values() for name in names}
    found = dict(WANTED)
    for term, logged in terms(run).items():
        names = tuple(name for name in logged if name not in placed)
        if names:
            found[slug(term)] = (*found.get(slug(term), ()), *names)
    return found


def _title(name: str, metrics: Sequence[str]) -> str:
    if name == "rank":
        return "effective rank"
    # What is measured is declared more often than what a method logs of its objective.
    return metric(metrics[-1]).heading


def _lines(run: Run, metrics: Sequence[str]) -> list[Line]:
    lines = []
    for place, name in enumerate(metrics):
        epochs, values = curve(run, name)
        if len(epochs) > 1:
            lines.append(Line(_called(name, metrics), epochs, values, place))
    return lines


def _called(name: str, metrics: Sequence[str]) -> str:
    """The name of a line: its split where a chart has several lines, else the title of its metric."""
    split = name.partition("/")[0]
    return SPLITS[split] if split in SPLITS and len(metrics) > 1 else metric(name).title


def slug(name: str) -> str:
    """A metric's name as that of a chart.

    Example:
        >>> slug("test/knn_top1")
        'test-knn-top1'
    """
    return name.replace("/", "-").replace("_", "-")


def curve(run: Run, name: str) -> tuple[list[float], list[float]]:
    """The points of a metric as a chart draws them: in the unit in which it is read."""
    scale = metric(name).scale
    epochs, values = finite(*run.curve(name))
    return epochs, [scale * value for value in values]


def finite(epochs: Sequence[float], values: Sequence[float]) -> tuple[list[float], list[float]]:
    """The points that are numbers, of very many only some, the last among them."""
    points = [p for p in zip(epochs, values, strict=True) if all(map(math.isfinite, p))]
    every = max(1, len(points) // MOST)
    kept = points[::every] + ([points[-1]] if (len(points) - 1) % every else []) if points else []
    return [p[0] for p in kept], [p[1] for p in kept]


def plot(name: str, title: str, lines: Sequence[Line], alarms: Sequence[float] = ()) -> Chart:
    """The lines in axes that fit them, but for the beginning."""
    curves = [c for line in lines for c in ((line.epochs, line.values), *line.threads)]
    end = max(epoch for line in lines if line.number is not None for epoch in line.epochs) or 1.0
    points = [(e, v) for curve in curves for e, v in zip(*curve, strict=True) if e <= end]
    later = [v for e, v in points if e >= FIRST * end]
    low, high = min(later), max(later)
    pad = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
    low, high = low - pad, high + pad
    tall = HEIGHT - TOP - BOTTOM

    def x(epoch: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * epoch / end, 1)

    def y(value: float) -> float:
        return round(TOP + tall * min(max((high - value) / (high - low), -FAR), FAR), 1)

    def path(epochs: Sequence[float], values: Sequence[float]) -> str:
        return "M" + "L".join(f"{x(e)} {y(v)}" for e, v in zip(epochs, values, strict=True))

    drawn = [
        Series(
            line.name,
            line.epochs,
            line.values,
            OVERLAID if line.number is None else line.number,
            path(line.epochs, line.values),
            [path(*thread) for thread in line.threads],
        )
        for line in lines
    ]
    return Chart(
        name,
        title,
        drawn,
        [(x(tick), plain(tick)) for tick in ticks(0.0, end)],
        [(y(tick), plain(tick)) for tick in ticks(low, high)],
        [x(epoch) for epoch in alarms],
        any(not low <= value <= high for _, value in points),
        (0.0, end, low, high),
    )


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round numbers from ``low`` to ``high``.

    Example:
        >>> ticks(0.0, 8.0), ticks(-0.98, -0.2)
        ([0.0, 2.0, 4.0, 6.0, 8.0], [-0.8, -0.6, -0.4, -0.2])
    """
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 10) + 0.0 for i in range(first, last + 1)]
