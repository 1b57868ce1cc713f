"""What a study shows in one pair of axes: a line for each arm, thinner ones for its seeds, and what needs no training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from triptych.metrics import label, metric
from triptych.reporting.figures.panels import Curve, Level, Line, Panel
from triptych.reporting.figures.quantities import UNTRAINED, known, levels, scaled, slug
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
    """A panel for each curve that the study names and the runs logged; several where its arms are not drawn together."""
    found = []
    for name in folder.found["curves"]:
        for place, arms in enumerate(folder.drawn_together(name)):
            lines = [line for arm in arms if (line := _line(folder, arm, folder.runs(arm), name))]
            if lines:
                end = max(epoch for line in lines for epoch in line.epochs) or 1.0
                over = _over(folder, arms, name, laid_over, end)
                panel = _panel(folder, name, arms, [*lines, *over])
                found.append(replace(panel, name=f"{panel.name}-{place}") if place else panel)
    return found


def _panel(folder: StudyFolder, name: str, arms: Sequence[str], lines: list[Line]) -> Panel:
    held, declared = _levels(folder, arms, name), metric(name)
    title = label(name) + _whose(folder, name, arms)
    title = f"{title}, {declared.unit}" if declared.unit else title
    panel = Panel(slug(name), title, lines, held, unit=declared.unit, figure=FIGURE)
    runs = folder.runs(arms[0])
    about = known(runs[0], name) if runs else None
    if about is None:
        return panel
    own = [about.level] if about.level else []
    title += " (logarithmic)" * about.log
    return replace(panel, title=title, levels=[*own, *held], reach=about.reach, log=about.log)


def _whose(folder: StudyFolder, name: str, arms: Sequence[str]) -> str:
    """Of which arms a panel is, where others have panels of their own."""
    variants = f" {folder.variant}" * (arms[0] in folder.of)
    if len(folder.found.get("apart", {}).get(name, [])) < 2:
        return variants
    methods = {folder.methods.get(arm, arm) for arm in arms}
    alone = len(methods) == 1 and all(
        arm in arms or folder.methods.get(arm, arm) not in methods
        for arm in folder.arms
        if (arm in folder.of) == (arms[0] in folder.of)
    )
    return f" of {', '.join(sorted(methods) if alone else arms)}{variants}"


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


def _over(
    folder: StudyFolder,
    arms: Sequence[str],
    name: str,
    laid_over: StudyOverlay | None,
    end: float,
) -> list[Line]:
    """What is laid over each arm, in the unit in which the metric is read."""
    if laid_over is None:
        return []
    found = [(arm, laid_over.curve(arm, name, end)) for arm in arms]
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


def _levels(folder: StudyFolder, arms: Sequence[str], name: str) -> list[Level]:
    """Means over the control's seeds; of what an untrained network is, only where all arms have the control's method."""
    by_name: dict[str, list[float]] = {}
    control = folder.found["control"]
    alike = {folder.methods.get(arm) for arm in (*arms, control)}
    for run in folder.runs(control):
        for level in levels(run, [name]):
            if len(alike) == 1 or not level.name.startswith(UNTRAINED):
                by_name.setdefault(level.name, []).append(level.value)
    return [Level(of, sum(values) / len(values)) for of, values in by_name.items()]
