"""The charts of the runs that a reader has chosen: of one as its report has them, of several laid over each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from triptych.metrics import SPLITS
from triptych.reporting.figures.panels import Line
from triptych.reporting.parts.charts import Chart, plot

__all__ = ["laid_over"]

MEASURED = SPLITS["valid"]
"""The line that stands for a run where a chart of it has several."""


def laid_over(runs: Sequence[tuple[str, Sequence[Chart]]]) -> list[Chart]:
    """One chart for each that any of the runs has, with a line a run; the charts of a run that is alone are as they are.

    Where a run's own chart has several lines, that of the validation images stands for it, else the first.
    """
    if len(runs) == 1:
        return list(runs[0][1])
    every: dict[str, dict[int, Chart]] = {}
    for place, (_, charts) in enumerate(runs):
        for chart in charts:
            every.setdefault(chart.name, {})[place] = chart
    return [_joined(of, [name for name, _ in runs]) for of in every.values()]


def _joined(of: Mapping[int, Chart], names: Sequence[str]) -> Chart:
    panels = {place: chart.panel for place, chart in of.items()}
    shown = {place: _one(panel.lines) for place, panel in panels.items()}
    first, *others = panels.values()
    # A run has one look in all charts.
    lines = [replace(line, name=names[place], number=place) for place, line in shown.items()]
    # What all are held against: raw pixels of the same images, say.
    levels = [level for level in first.levels if all(level in other.levels for other in others)]
    what = {line.name for line in shown.values()} & set(SPLITS.values())
    title = ", ".join([first.title, *([f"{what.pop()} images"] if len(what) == 1 else [])])
    return plot(replace(first, title=title, lines=lines, levels=levels))


def _one(lines: Sequence[Line]) -> Line:
    return next((line for line in lines if line.name == MEASURED), lines[0])
