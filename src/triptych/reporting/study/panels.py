"""What a study shows in one pair of axes: a line for each arm, thinner ones for its seeds, and what needs no training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from triptych.metrics import label, metric
from triptych.reporting.figures.panels import Curve, Level, Line, Panel
from triptych.reporting.figures.quantities import known, levels, scaled, slug
from triptych.reporting.study.folder import StudyFolder
from triptych.runs import Run

__all__ = ["FIGURE", "StudyOverlay", "study_panels"]

FIGURE = "study-curves"
"""The figure for papers that shows the same."""


class StudyOverlay(NamedTuple):
    """Curves of another study with the same arms, drawn over those of this one."""

    name: str
    curve: Callable[[str, str, float], Curve]
    """Arm, metric and the last epoch of this training → the other's curve in it; no points where it has none."""
    caption: Callable[[float], str]
    """What must stand below it, by the last epoch."""


def study_panels(folder: StudyFolder, laid_over: StudyOverlay | None = None) -> list[Panel]:
    """A panel for each curve that the study names and the runs logged."""
    found = []
    for name in folder.found["curves"]:
        lines = [
            line for arm in folder.arms if (line := _line(folder, arm, folder.runs(arm), name))
        ]
        if lines:
            end = max(epoch for line in lines for epoch in line.epochs) or 1.0
            over = _over(folder, name, laid_over, end)
            found.append(_panel(folder, name, [*lines, *over]))
    return found


def _panel(folder: StudyFolder, name: str, lines: list[Line]) -> Panel:
    held, declared = _levels(folder, name), metric(name)
    title = f"{label(name)}, {declared.unit}" if declared.unit else label(name)
    panel = Panel(slug(name), title, lines, held, unit=declared.unit, figure=FIGURE)
    runs = folder.runs(folder.found["control"])
    about = known(runs[0], name) if runs else None
    if about is None:
        return panel
    own = [about.level] if about.level else []
    title += " (logarithmic)" * about.log
    return replace(panel, title=title, levels=[*own, *held], reach=about.reach, log=about.log)


def _line(folder: StudyFolder, arm: str, runs: Sequence[Run], name: str) -> Line | None:
    """The mean at the epochs that all seeds have, and the line of each seed where they are several."""
    curves = [scaled(run, name) for run in runs]
    by_epoch = [dict(zip(*curve, strict=True)) for curve in curves if curve[0]]
    common = sorted(set.intersection(*map(set, by_epoch))) if by_epoch else []
    if not common:
        return None
    mean = [sum(values[e] for values in by_epoch) / len(by_epoch) for e in common]
    threads = [curve for curve in curves if curve[0]] if len(by_epoch) > 1 else []
    return Line(arm, common, mean, folder.number(arm), threads)


def _over(folder: StudyFolder, name: str, laid_over: StudyOverlay | None, end: float) -> list[Line]:
    """What is laid over each arm, in the unit in which the metric is read."""
    if laid_over is None:
        return []
    found = [(arm, laid_over.curve(arm, name, end)) for arm in folder.arms]
    scale = metric(name).scale
    return [
        Line(
            f"{arm}, {laid_over.name}",
            epochs,
            [scale * value for value in values],
            folder.number(arm),
            over=True,
        )
        for arm, (epochs, values) in found
        if epochs
    ]


def _levels(folder: StudyFolder, name: str) -> list[Level]:
    """Means over the control's seeds."""
    by_name: dict[str, list[float]] = {}
    for run in folder.runs(folder.found["control"]):
        for level in levels(run, [name]):
            by_name.setdefault(level.name, []).append(level.value)
    return [Level(of, sum(values) / len(values)) for of, values in by_name.items()]
