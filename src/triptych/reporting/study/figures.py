"""The figures of a study: its arms over the training, and their paired differences from the control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from triptych.metrics import label, metric
from triptych.reporting.figures.curves import THIN, draw_levels, draw_line, on_axis, pen, titled
from triptych.reporting.figures.panels import Line, Panel
from triptych.reporting.figures.style import GREY, INK, PAGE, Page, Words
from triptych.reporting.looks import LOOKS, OVERLAID
from triptych.reporting.study.folder import StudyFolder
from triptych.reporting.study.panels import StudyOverlay, study_panels

__all__ = ["study_curves", "study_differences"]

MARKS = 8
"""Markers on a line, each arm's at its own places, so that arms that coincide can be seen."""

LETTER, LEAST_NAMES, MOST_NAMES = 1.5, 28.0, 48.0
"""Millimetres of a letter of an arm's name beside its differences, and of the room for names, at least and at most."""

LEFT, WIDE, HIGH, ROOM = 13.0, 66.0, 52.0, 14.5
"""Millimetres of a panel of curves and of what is written around it; two in a row."""


def study_curves(folder: StudyFolder, laid_over: StudyOverlay | None = None) -> Figure | None:
    """The curves that the study file names, over the epochs: a line an arm, a band over its seeds."""
    other = _overlaid(folder, laid_over)
    found = study_panels(folder, other)
    if not found:
        return None
    rows = -(-len(found) // 2)
    said = _caption(folder, found)
    said += [other.caption(max(panel.end for panel in found))] if other else []
    words = Words(f"{folder.found['study']}: the training", folder.protocol(), " ".join(said))
    page = Page(words, PAGE, rows * (HIGH + ROOM) + 6.0)
    for place, panel in enumerate(found):
        up = (rows - 1 - place // 2) * (HIGH + ROOM) + 8.5
        axes = page.axes(LEFT + (place % 2) * (WIDE + 22.0), up, WIDE, HIGH)
        _panel(axes, folder, panel)
    _legend(page, rows * (HIGH + ROOM), folder, found, other)
    return page.figure


def _overlaid(folder: StudyFolder, laid_over: StudyOverlay | None) -> StudyOverlay | None:
    """The overlay, if it has a curve for any arm and metric of this study; else none."""
    if laid_over is None:
        return None
    there = (
        laid_over.curve(arm, name, 1.0)[0] for name in folder.found["curves"] for arm in folder.arms
    )
    return laid_over if any(there) else None


def _panel(axes: Axes, folder: StudyFolder, panel: Panel) -> None:
    on_axis(axes, panel)
    draw_levels(axes, panel)
    arms = max(1, len(folder.own_arms))
    for line in panel.lines:
        if line.over:
            draw_line(axes, panel, line)
            continue
        place, look = folder.number(line.name), folder.look(line.name)
        _band(axes, line, look["color"])
        # The first arm's line is the widest: it shows on both sides of one that covers it.
        width, marks = 2.0 - place / arms, _marks(len(line.epochs), place, arms)
        more = {"marker": look["marker"], "markevery": marks, "markersize": 3.5, "linewidth": width}
        draw_line(axes, panel, line, **more)
    axes.set_xlabel("epoch")
    axes.set_title(titled(panel), parse_math=False)


def _band(axes: Axes, line: Line, colour: str) -> None:
    """From the smallest to the largest value of the seeds, at the epochs that all of them have."""
    if line.threads:
        curves = [dict(zip(*thread, strict=True)) for thread in line.threads]
        values = np.array([[curve[epoch] for epoch in line.epochs] for curve in curves])
        axes.fill_between(line.epochs, values.min(0), values.max(0), color=colour, alpha=0.2, lw=0)


def _marks(points: int, place: int, arms: int) -> list[int]:
    """The points of a line that get a marker: not those of the next arm, if there are enough."""
    every = max(1, points // MARKS)
    if points >= 2 * arms:
        every = max(arms, every)
    return list(range(place * every // arms, points, every))


def _legend(
    page: Page,
    up: float,
    folder: StudyFolder,
    found: Sequence[Panel],
    other: StudyOverlay | None,
) -> None:
    axes = page.axes(LEFT, up, PAGE - LEFT - 3.0, 5.0)
    axes.set_axis_off()
    drawn = {line.name for panel in found for line in panel.lines if not line.over}
    # A variant is drawn as the arm that it is of, in axes of its own.
    named = {folder.of.get(arm, arm) for arm in drawn}
    for arm in (arm for arm in folder.arms if arm in named):
        look = {**pen(LOOKS[folder.number(arm)]), **folder.look(arm)}
        axes.plot([], [], label=arm, markersize=3.0, **look)
    if other:
        axes.plot([], [], label=other.name, linewidth=THIN, **pen(LOOKS[OVERLAID]))
    axes.legend(loc="center left", ncols=6, borderpad=0, borderaxespad=0, columnspacing=1.5)


def _caption(folder: StudyFolder, found: Sequence[Panel]) -> list[str]:
    many = len(folder.found["seeds"]) > 1
    shared = (
        "order of the images, draws of views and noise, and the first weights of layers of one name and shape; "
        "what a method draws besides is its own."
        if len(set(folder.methods.values())) > 1
        else "initial weights, order of the images and random draws wherever their configs agree."
    )
    said = [
        f"Lines: means over the seeds; bands: their smallest to largest value. The runs of one seed share {shared}"
        if many
        else "One seed: how far another would lie from these lines is not known."
    ]
    if folder.of:
        said.append(
            f"Axes titled “{folder.variant}”: variants, drawn as the arms that they are of."
        )
    said += _left_out(folder)
    if any(panel.levels for panel in found):
        said.append("Grey: what needs no training.")
    if any(panel.axis.cut for panel in found):
        said.append("Values of the beginning reach beyond these axes.")
    return said


def _left_out(folder: StudyFolder) -> list[str]:
    """A sentence for each arm that lost runs: what is drawn is of those that ended well."""
    said = []
    for arm in folder.arms:
        states = [run["state"] for run in folder.found["arms"][arm]["runs"].values()]
        lost = len(states) - states.count("done")
        if lost and lost == states.count("failed") == len(states):
            said.append(
                f"{arm}: every run failed ({lost}); what is drawn ends where the first did."
            )
        elif lost:
            said.append(
                f"{arm}: {lost} of {len(states)} runs failed or are not done, and are left out."
            )
    return said


def study_differences(folder: StudyFolder) -> Figure | None:
    """Differences of every arm from the control with their intervals, a panel a metric."""
    metrics = {
        name: found
        for name, found in folder.found["metrics"].items()
        if any(d["mean"] is not None for d in found["differences"].values())
    }
    if not metrics:
        return None
    others = [arm for arm in folder.arms if arm != folder.found["control"]]
    high, rows = 5.0 * len(others) + 4.0, -(-len(metrics) // 2)
    control = folder.found["control"]
    minus = f"− {control}, of a variant − the arm that it is of" if folder.of else "− control"
    words = Words(
        f"{folder.found['study']}: differences from {control}",
        folder.protocol(),
        f"Points: mean over seeds of arm {minus}, runs of the same seed; bars: Student's 95 % interval of that "
        "mean, where two seeds or more have both; small marks: the seeds. Right of the line the arm is higher.",
    )
    page = Page(words, PAGE, rows * (high + 13.0))
    names = min(MOST_NAMES, max(LEAST_NAMES, LETTER * max(map(len, others))))
    for place, (name, found) in enumerate(metrics.items()):
        up = (rows - 1 - place // 2) * (high + 13.0) + 8.0
        axes = page.axes(names + (place % 2) * 86.0, up, 82.0 - names, high)
        for row, arm in enumerate(others):
            _forest_row(axes, folder, found, arm, row, metric(name).scale)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_yticks(range(len(others)), others)
        axes.set_ylim(len(others) - 0.4, -0.6)
        axes.grid(False)
        axes.set_title(", ".join(part for part in (label(name), metric(name).points) if part))
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    return page.figure


def _forest_row(
    axes: Axes, folder: StudyFolder, found: Mapping[str, Any], arm: str, row: int, times: float
) -> None:
    """An arm's difference, ``times`` what is stored."""
    difference, look = found["differences"].get(arm), folder.look(arm)
    if difference is None or difference["mean"] is None:
        said = "no value" if difference else "not compared"
        axes.text(0.02, row, said, transform=axes.get_yaxis_transform(), va="center", color=GREY)
        return
    if difference["low"] is not None:
        ends = times * difference["low"], times * difference["high"]
        axes.hlines(row, *ends, color=look["color"], linewidth=1.4)
    axes.plot(times * difference["mean"], row, markersize=4.0, linestyle="", **look)
    base = difference.get("from", folder.found["control"])
    ours, theirs = (found["arms"][name]["values"] for name in (arm, base))
    each = [times * (ours[seed] - theirs[seed]) for seed in ours if seed in theirs]
    axes.plot(each, [row + 0.28] * len(each), "|", color=look["color"], markersize=4.0)
