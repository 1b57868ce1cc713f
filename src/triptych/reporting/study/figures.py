"""The figures of a study: its arms over the training, and their paired differences from the control."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from triptych.metrics import label, metric
from triptych.reporting.figures.style import GREY, INK, PAGE, Page, Words
from triptych.reporting.study.folder import StudyFolder
from triptych.runs import Run

__all__ = ["StudyOverlay", "study_curves", "study_differences"]

Curve = tuple[list[float], list[float]]

MARKS = 8
"""Markers on a line, each arm's at its own places, so that arms that coincide can be seen."""

DASHES, THIN = (4.0, 2.0), 0.7
"""Dashes and width of the lines of somebody else's study."""

HEADROOM = 0.15
"""Share of an axis above all lines for the names of the baselines."""

FIRST = 0.1
"""Share of the training whose values may lie outside the axes: the first steps would flatten the rest."""

LEFT, WIDE, HIGH, ROOM = 13.0, 66.0, 52.0, 14.5
"""Millimetres of a panel of curves and of what is written around it; two in a row."""


class StudyOverlay(NamedTuple):
    """Curves of another study with the same arms, drawn over those of this one."""

    name: str
    curve: Callable[[str, str, float], Curve]
    """Arm, metric and the last epoch of this training → the other's curve in it; no points where it has none."""
    caption: Callable[[float], str]
    """What must stand below it, by the last epoch."""


class Band(NamedTuple):
    """Mean and range over the seeds of an arm at every epoch that all of them have."""

    epochs: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]


def study_curves(folder: StudyFolder, laid_over: StudyOverlay | None = None) -> Figure | None:
    """The curves that the study file names, over the epochs: a line an arm, a band over its seeds."""
    bands = {
        name: {arm: band for arm in folder.arms if (band := _band(folder.runs(arm), name))}
        for name in folder.found["curves"]
    }
    bands = {name: arms for name, arms in bands.items() if arms}
    if not bands:
        return None
    rows = -(-len(bands) // 2)
    other = _overlaid(laid_over, bands)
    said = _caption(folder, bands)
    said += [other.caption(max(map(_end, bands.values())))] if other else []
    words = Words(f"{folder.found['study']}: the training", folder.protocol(), " ".join(said))
    page = Page(words, PAGE, rows * (HIGH + ROOM) + 6.0)
    for place, (name, arms) in enumerate(bands.items()):
        up = (rows - 1 - place // 2) * (HIGH + ROOM) + 8.5
        axes = page.axes(LEFT + (place % 2) * (WIDE + 22.0), up, WIDE, HIGH)
        _panel(axes, folder, name, arms, other)
    _legend(page, rows * (HIGH + ROOM), folder, bands, other)
    return page.figure


def _overlaid(
    laid_over: StudyOverlay | None, bands: Mapping[str, Mapping[str, Band]]
) -> StudyOverlay | None:
    """The overlay, if it has a curve for any arm and metric of this figure; else none."""
    if laid_over is None:
        return None
    there = any(laid_over.curve(arm, name, 1.0)[0] for name, arms in bands.items() for arm in arms)
    return laid_over if there else None


def _band(runs: Sequence[Run], name: str) -> Band | None:
    curves = [dict(zip(*run.curve(name), strict=True)) for run in runs]
    common = sorted(set.intersection(*map(set, curves))) if curves else []
    if not common:
        return None
    values = np.array([[curve[epoch] for epoch in common] for curve in curves])
    return Band(common, values.mean(0).tolist(), values.min(0).tolist(), values.max(0).tolist())


def _panel(
    axes: Axes,
    folder: StudyFolder,
    name: str,
    arms: Mapping[str, Band],
    other: StudyOverlay | None,
) -> None:
    end = _end(arms)
    shown = [value for band in arms.values() for value in _later(band.epochs, (*band[2:],), end)]
    for baseline, level, style in _baselines(folder, name):
        axes.axhline(level, color=GREY, linestyle=style, linewidth=0.9, zorder=1.5, label=baseline)
        shown.append(level)
    for arm, band in arms.items():
        look, place = folder.look(arm), folder.arms.index(arm)
        axes.fill_between(band.epochs, band.low, band.high, color=look["color"], alpha=0.2, lw=0)
        # The first arm's line is the widest: it shows on both sides of one that covers it.
        width = 2.0 - place / len(folder.arms)
        marks = _marks(len(band.epochs), place, len(folder.arms))
        axes.plot(band.epochs, band.mean, markevery=marks, markersize=3.5, lw=width, **look)
        if other:
            epochs, values = other.curve(arm, name, end)
            dashes = (3.0 * (place % 2), DASHES)
            axes.plot(epochs, values, color=look["color"], linestyle=dashes, linewidth=THIN)
            shown += _later(epochs, (values,), end)
    pad = 0.05 * (max(shown) - min(shown)) or 1.0
    axes.set_ylim(min(shown) - pad, max(shown) + pad)
    axes.set_xlim(0, end * 1.02)
    axes.set_xlabel("epoch")
    axes.set_title(label(name))
    if axes.get_legend_handles_labels()[0]:
        # Above all lines: anywhere else it would lie on one of some study.
        axes.set_ylim(top=max(shown) + HEADROOM * (max(shown) - min(shown)))
        axes.legend(loc="upper right", ncols=2, fontsize=6.0, borderaxespad=0.1)
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10]))
    if metric(name).unit == "%":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))


def _marks(points: int, place: int, arms: int) -> list[int]:
    """The points of a line that get a marker: not those of the next arm, if there are enough."""
    every = max(1, points // MARKS)
    if points >= 2 * arms:
        every = max(arms, every)
    return list(range(place * every // arms, points, every))


def _end(arms: Mapping[str, Band]) -> float:
    return max(band.epochs[-1] for band in arms.values()) or 1.0


def _later(epochs: Sequence[float], curves: Sequence[Sequence[float]], end: float) -> list[float]:
    """The values after the first part of the training."""
    return [v for curve in curves for e, v in zip(epochs, curve, strict=True) if e >= FIRST * end]


def _baselines(folder: StudyFolder, of: str) -> list[tuple[str, float, Any]]:
    """Names, levels and line styles of what needs no learning: means over the control's seeds."""
    part, _, name = of.partition("/")
    starts = [
        line
        for run in folder.runs(folder.found["control"])
        for line in run.metrics()
        if line["step"] == 0
    ]
    # A baseline without the name of a split is of the test images.
    plain = f"floor/pixels_{name}"
    keys = {"untrained encoder": [of], "raw pixels": [f"{plain}_{part}"]}
    if part == "test":
        keys["raw pixels"].append(plain)
    found = []
    for baseline, style in (
        ("untrained encoder", (0, (1, 1.5))),
        ("raw pixels", (0, (5, 1, 1, 1))),
    ):
        levels = [line[key] for line in starts for key in keys[baseline] if key in line]
        if levels:
            found.append((baseline, float(np.mean(levels)), style))
    return found


def _legend(
    page: Page,
    up: float,
    folder: StudyFolder,
    bands: Mapping[str, Mapping[str, Band]],
    other: StudyOverlay | None,
) -> None:
    axes = page.axes(LEFT, up, PAGE - LEFT - 3.0, 5.0)
    axes.set_axis_off()
    for arm in (a for a in folder.arms if any(a in arms for arms in bands.values())):
        axes.plot([], [], label=arm, markersize=3.0, **folder.look(arm))
    if other:
        axes.plot([], [], color=INK, linestyle=(0, DASHES), linewidth=THIN, label=other.name)
    axes.legend(loc="center left", ncols=6, borderpad=0, borderaxespad=0, columnspacing=1.5)


def _caption(folder: StudyFolder, bands: Mapping[str, Mapping[str, Band]]) -> list[str]:
    many = len(folder.found["seeds"]) > 1
    said = [
        "Lines: means over the seeds; bands: their smallest to largest value. The runs of one seed share "
        "initial weights, order of the images and random draws wherever their configs agree."
        if many
        else "One seed: how far another would lie from these lines is not known."
    ]
    said += _left_out(folder)
    if any(_baselines(folder, name) for name in bands):
        said.append("Grey: what needs no training.")
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
    words = Words(
        f"{folder.found['study']}: differences from {folder.found['control']}",
        folder.protocol(),
        "Points: mean over seeds of arm − control, runs of the same seed; bars: Student's 95 % interval of that "
        "mean, where two seeds or more have both; small marks: the seeds. Right of the line the arm is higher.",
    )
    page = Page(words, PAGE, rows * (high + 13.0))
    for place, (name, found) in enumerate(metrics.items()):
        up = (rows - 1 - place // 2) * (high + 13.0) + 8.0
        axes = page.axes(28.0 + (place % 2) * 86.0, up, 54.0, high)
        for row, arm in enumerate(others):
            _forest_row(axes, folder, found, arm, row)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_yticks(range(len(others)), others)
        axes.set_ylim(len(others) - 0.4, -0.6)
        axes.grid(False)
        axes.set_title(label(name))
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
