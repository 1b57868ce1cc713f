"""The curves of a study to be hovered: a line an arm, the mean of its seeds, which are the thin ones."""

from __future__ import annotations

from triptych.reporting.parts.charts import Chart, Line, curve, plot
from triptych.reporting.study.folder import NAMES, StudyFolder
from triptych.runs import Run

__all__ = ["study_charts"]

LOOKS = 7
"""Colours and dashes that the page has for arms."""


def study_charts(folder: StudyFolder) -> list[Chart]:
    """A chart for each curve that the study names and the runs logged."""
    found = []
    for metric in folder.found["curves"]:
        lines = [
            line
            for number, arm in enumerate(folder.arms)
            if (line := _line(arm, number % LOOKS, folder.runs(arm), metric)) is not None
        ]
        if lines:
            found.append(plot(_slug(metric), _title(metric), lines))
    return found


def _line(arm: str, number: int, runs: list[Run], metric: str) -> Line | None:
    """The mean at the epochs that all seeds have; their own lines beside it where they are several."""
    curves = [curve(run, metric) for run in runs]
    curves = [points for points in curves if len(points[0]) > 1]
    by_epoch = [dict(zip(*points, strict=True)) for points in curves]
    common = sorted(set.intersection(*map(set, by_epoch))) if by_epoch else []
    if len(common) < 2:
        return None
    mean = [sum(values[e] for values in by_epoch) / len(by_epoch) for e in common]
    return Line(arm, common, mean, number, curves if len(curves) > 1 else [])


def _title(metric: str) -> str:
    title = NAMES.get(metric, metric)
    return f"{title}, %" if metric.endswith("_top1") else title


def _slug(metric: str) -> str:
    return metric.replace("/", "-").replace("_", "-")
