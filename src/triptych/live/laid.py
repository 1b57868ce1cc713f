"""The charts of the runs that a reader has chosen: of one as its report has them, of several laid over each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from triptych.metrics import SPLITS
from triptych.reporting.parts.charts import Chart, Line, Series, plot

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
    first = next(iter(of.values()))
    shown = {place: _one(chart.series) for place, chart in of.items()}
    lines = [
        # A run has one look in all charts.
        Line(names[place], series.epochs, series.values, place)
        for place, series in shown.items()
    ]
    what = {series.name for series in shown.values()} & set(SPLITS.values())
    title = ", ".join([first.title, *([f"{what.pop()} images"] if len(what) == 1 else [])])
    return plot(first.name, title, lines)


def _one(series: Sequence[Series]) -> Series:
    return next((line for line in series if line.name == MEASURED), series[0])
