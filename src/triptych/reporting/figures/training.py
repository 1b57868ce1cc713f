"""The figure of any training: every logged term that no figure of its family shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from triptych.metrics import SPLITS, metric
from triptych.reporting.figures import game, likelihood, representation
from triptych.reporting.figures.curves import DASHED, Curve, Line, Panel, draw_panel
from triptych.reporting.figures.style import MEASURED, PAGE, TRAINED, Page, Words, wrapped
from triptych.reporting.words import setting
from triptych.runs import Run

__all__ = ["terms", "training_curves"]

COLUMNS = 3
TALL, ROOM = 34.0, 13.0
"""Millimetres of a panel's height, and of what is written above and below it."""

ACROSS = 44.0
"""Millimetres that a panel's title has, to the next panel or the edge of the page."""

LINE = 3.0
"""Millimetres from one line of a title to the next."""

FIRST = 0.1
"""Share of the training whose values may lie outside the axes: the first steps would flatten the rest."""

UNSHOWN = ("knn/k", "knn/bank", "samples/healthy_step")
"""Logged numbers that are no measure of anything."""

_LOOKS = {"train": (TRAINED, "-"), "valid": (MEASURED, DASHED)}


def terms(run: Run) -> dict[str, list[str]]:
    """The logged numbers: name without the split → the full names, one for each split, in the order of the log.

    Example:
        >>> run = Run.create(tmp_path / "logged", {})
        >>> run.log({"step": 1, "epoch": 1.0, "train/mmd": 0.2, "features/std": 0.9})
        >>> run.log({"step": 1, "epoch": 1.0, "valid/mmd": 0.3, "alarm": "none of these"})
        >>> terms(run)
        {'mmd': ['train/mmd', 'valid/mmd'], 'features/std': ['features/std']}
    """
    found: dict[str, list[str]] = {}
    for line in run.metrics():
        for name, value in line.items():
            split, _, plain = name.partition("/")
            if not plain or name in UNSHOWN or not isinstance(value, (int, float)):
                continue
            names = found.setdefault(plain if split in SPLITS else name, [])
            if name not in names:
                names.append(name)
    splits = list(SPLITS)

    def order(name: str) -> int:
        split = name.partition("/")[0]
        return splits.index(split) if split in splits else 0

    return {plain: sorted(names, key=order) for plain, names in found.items()}


def training_curves(run: Run) -> Figure | None:
    """A panel for each term of the objective that this run's other figures leave out, training and validation in one."""
    panels = [_panel(plain, curves) for plain, curves in _left(run).items()]
    if not panels:
        return None
    words = Words("The training", setting(run, seed=True), _caption(run))
    rows = -(-len(panels) // COLUMNS)
    titles = [wrapped(panel.title, ACROSS) for panel in panels]
    more = LINE * max(len(title) - 1 for title in titles)
    page = Page(words, PAGE, rows * (TALL + ROOM + more) + 1.0)
    width = PAGE / COLUMNS - 14.0
    end = max(e for panel in panels for line in panel.lines for e in line.curve[0])
    for place, panel in enumerate(panels):
        row, column = divmod(place, COLUMNS)
        left = 12.0 + column * PAGE / COLUMNS
        up = (rows - 1 - row) * (TALL + ROOM + more) + 8.5
        axes = page.axes(left, up, width, TALL)
        draw_panel(axes, panel, end)
        axes.set_title("\n".join(titles[place]), parse_math=False)
        axes.set_xlabel("epoch", labelpad=1.0)
        if len(panel.lines) > 1:
            axes.legend(loc="best", fontsize=6.5, borderaxespad=0.2)
    return page.figure


def _left(run: Run) -> dict[str, dict[str, Curve]]:
    """The terms of the objective that this run's other figures leave out: term → split → curve."""
    logged, found = terms(run), {}
    shown = {name for drawn in (likelihood, game, representation) for name in drawn.shown(logged)}
    for plain, names in logged.items():
        curves = {
            split: curve
            for name in names
            if (split := name.partition("/")[0]) in _LOOKS and name not in shown
            if (curve := _finite(run, name))[0]
        }
        if curves:
            found[plain] = curves
    return found


def _finite(run: Run, name: str) -> Curve:
    """The points that are numbers, in the unit in which the metric is read."""
    scale = metric(name).scale
    points = [
        (e, scale * v)
        for e, v in zip(*run.curve(name), strict=True)
        if isinstance(v, (int, float)) and math.isfinite(v)
    ]
    return [p[0] for p in points], [p[1] for p in points]


def _panel(plain: str, curves: Mapping[str, Curve]) -> Panel:
    # What is measured is declared more often than what a method logs of its objective.
    name = f"valid/{plain}" if "valid" in curves else plain
    lines = [Line(SPLITS[split], curve, *_LOOKS[split]) for split, curve in curves.items()]
    low, high = _limits([line.curve for line in lines])
    return Panel(metric(name).heading, lines, low, high)


def _limits(curves: Sequence[Curve]) -> tuple[float, float]:
    """The range of the values after the first part of the training, and a little more."""
    end = max(epochs[-1] for epochs, _ in curves)
    values = [
        v for epochs, vs in curves for e, v in zip(epochs, vs, strict=True) if e >= FIRST * end
    ]
    low, high = min(values), max(values)
    pad = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return low - pad, high + pad


def _caption(run: Run) -> str:
    about = run.method().about
    said = [
        "Training: means over the steps since the point before, while the weights move. Axes fit the training "
        "after its first tenth."
    ]
    said += [f"Alarm at step {step:,}: {text}." for step, text in run.alarms()]
    return " ".join([*([about.rstrip(".") + "."] if about else []), *said])
