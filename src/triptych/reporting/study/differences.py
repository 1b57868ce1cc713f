"""The figure of the paired differences between a study's arms and their control."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from triptych.reporting.figures.style import GREY, INK, PAGE, Page, Words
from triptych.reporting.study.folder import NAMES, StudyFolder

__all__ = ["study_differences"]


def study_differences(folder: StudyFolder) -> Figure | None:
    """Differences of every arm from the control with their intervals, a panel a metric."""
    metrics = {
        metric: found
        for metric, found in folder.found["metrics"].items()
        if any(d["mean"] is not None for d in found["differences"].values())
    }
    if not metrics:
        return None
    others = [arm for arm in folder.arms if arm != folder.found["control"]]
    high, rows = 5.0 * len(others) + 4.0, -(-len(metrics) // 2)
    words = Words(
        f"{folder.found['study']}: differences from {folder.found['control']}",
        folder.protocol(),
        "Points: mean over seeds of arm − control, runs of the same seed; bars: Student's 95 % interval of that "
        "mean, where two seeds or more have both; small marks: the seeds. Right of the line the arm is higher.",
    )
    page = Page(words, PAGE, rows * (high + 13.0))
    for place, (metric, found) in enumerate(metrics.items()):
        up = (rows - 1 - place // 2) * (high + 13.0) + 8.0
        axes = page.axes(28.0 + (place % 2) * 86.0, up, 54.0, high)
        for row, arm in enumerate(others):
            _forest_row(axes, folder, found, arm, row)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_yticks(range(len(others)), others)
        axes.set_ylim(len(others) - 0.4, -0.6)
        axes.grid(False)
        axes.set_title(NAMES.get(metric, metric))
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    return page.figure


def _forest_row(
    axes: Axes, folder: StudyFolder, found: Mapping[str, Any], arm: str, row: int
) -> None:
    difference, look = found["differences"][arm], folder.look(arm)
    if difference["mean"] is None:
        axes.text(
            0.02, row, "no value", transform=axes.get_yaxis_transform(), va="center", color=GREY
        )
        return
    if difference["low"] is not None:
        axes.hlines(row, difference["low"], difference["high"], color=look["color"], linewidth=1.4)
    axes.plot(difference["mean"], row, markersize=4.0, linestyle="", **look)
    ours, theirs = (found["arms"][name]["values"] for name in (arm, folder.found["control"]))
    each = [ours[seed] - theirs[seed] for seed in ours if seed in theirs]
    axes.plot(each, [row + 0.28] * len(each), "|", color=look["color"], markersize=4.0)
