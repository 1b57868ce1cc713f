"""Curves over a training as pictures that scripts can read: drawn once as SVG, hovered in the browser.

Without scripts, and on paper, the drawing is all there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from triptych.runs import Run

__all__ = ["Chart", "Series", "charts", "ticks"]

WIDTH, HEIGHT = 640.0, 280.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 12.0, 10.0, 34.0
"""Units of the drawing, which is as wide as its place on the page, and the margins in it."""

MOST = 400
"""Points of a line that are kept: more cannot be told apart, and the page is to stay small."""

WANTED = (
    ("ELBO, nats an image", ("train/elbo", "valid/elbo")),
    ("critic gap", ("train/critic_gap", "valid/critic_gap")),
    ("penalty", ("train/penalty",)),
    ("gradient norm of the critic", ("train/gradient_norm",)),
    ("loss", ("train/loss",)),
    ("kNN top-1", ("test/knn_top1", "valid/knn_top1")),
    ("std × √d of the projections", ("features/std",)),
    ("effective rank", ("features/effective_rank", "features/backbone_rank")),
    ("diversity of the samples", ("samples/diversity",)),
)
"""Charts that a run is given where it logged one of their metrics."""

NAMES = {"train": "training", "valid": "validation", "test": "test"}


@dataclass(frozen=True)
class Series:
    """One line: its name, and the points' epochs and values."""

    name: str
    epochs: list[float]
    values: list[float]
    number: int
    """Which colour and dash of the page's it has."""
    path: str = ""
    """In the units of the drawing."""


@dataclass(frozen=True)
class Chart:
    """Lines in one pair of axes, with all that is needed to draw them."""

    title: str
    series: list[Series]
    across: list[tuple[float, str]]
    """Place and text of the ticks along the epochs, and of those along the values."""
    up: list[tuple[float, str]]
    alarms: list[float]
    """Places of the epochs since which an alarm is true."""
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    bottom: float = HEIGHT - BOTTOM
    top: float = TOP
    right: float = WIDTH - RIGHT
    ranges: tuple[float, float, float, float] = (0.0, 1.0, 0.0, 1.0)
    """First and last epoch, lowest and highest value."""

    @property
    def said(self) -> str:
        """The chart in words, for those who cannot see it."""
        ends = [
            f"{s.name} from {_number(s.values[0])} to {_number(s.values[-1])}" for s in self.series
        ]
        return f"{self.title} over {_number(self.ranges[1])} epochs: {'; '.join(ends)}."


def charts(run: Run) -> list[Chart]:
    """All charts that a run has the numbers for."""
    return [chart for title, names in WANTED if (chart := _chart(run, title, names)) is not None]


def _chart(run: Run, title: str, names: Sequence[str]) -> Chart | None:
    lines = []
    for number, name in enumerate(names):
        part, metric = name.split("/")
        said = NAMES.get(part, metric.replace("_", " ")) if len(names) > 1 else title
        points = [p for p in zip(*run.curve(name), strict=True) if math.isfinite(p[1])]
        points = points[:: max(1, len(points) // MOST)] + points[-1:] if points else []
        if len(points) > 1:
            lines.append(Series(said, [p[0] for p in points], [p[1] for p in points], number))
    if not lines:
        return None
    end = max(e for line in lines for e in line.epochs) or 1.0
    # The first steps would flatten the rest.
    later = [
        v
        for line in lines
        for e, v in zip(line.epochs, line.values, strict=True)
        if e >= 0.05 * end
    ]
    low, high = min(later), max(later)
    pad = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
    low, high = low - pad, high + pad
    steps = {e["step"]: e["epoch"] for e in run.metrics()}
    alarms = [steps[since] for since, _ in run.alarms() if since in steps]

    def x(epoch: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * epoch / end, 1)

    def y(value: float) -> float:
        shown = min(max(value, low), high)
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (high - shown) / (high - low), 1)

    drawn = [
        Series(
            line.name,
            line.epochs,
            line.values,
            line.number,
            "M" + "L".join(f"{x(e)} {y(v)}" for e, v in zip(line.epochs, line.values, strict=True)),
        )
        for line in lines
    ]
    return Chart(
        title,
        drawn,
        [(x(tick), _number(tick)) for tick in ticks(0.0, end)],
        [(y(tick), _number(tick)) for tick in ticks(low, high)],
        [x(epoch) for epoch in alarms],
        ranges=(0.0, end, low, high),
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


def _number(value: float) -> str:
    return f"{value:,.4g}".replace("-", "−")
