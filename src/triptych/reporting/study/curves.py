"""The figure of a study's arms over the training, with the reference report's where it has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from triptych.reporting.figures.style import GREY, INK, PAGE, Page, Words
from triptych.reporting.reference import simsiam as reference
from triptych.reporting.reference.protocol import scope
from triptych.reporting.study.folder import NAMES, StudyFolder
from triptych.runs import Run

__all__ = ["study_curves"]

MARKS = 8
"""Markers on a line, each arm's at its own places, so that arms that coincide can be seen."""

DASHES, REFERENCE = (4.0, 2.0), 0.7
"""Dashes and width of the reference report's lines."""

HEADROOM = 0.15
"""Share of an axis above all lines for the names of the floors."""

FIRST = 0.1
"""Share of the training whose values may lie outside the axes: the first steps would flatten the rest."""

LEFT, WIDE, HIGH, ROOM = 13.0, 66.0, 52.0, 14.5
"""Millimetres of a panel of curves and of what is written around it; two in a row."""


class Band(NamedTuple):
    """Mean and range over the seeds of an arm at every epoch that all of them have."""

    epochs: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]


def study_curves(folder: StudyFolder) -> Figure | None:
    """The curves that the study file names, over the epochs: a line an arm, a band over its seeds."""
    bands = {
        metric: {arm: band for arm in folder.arms if (band := _band(folder.runs(arm), metric))}
        for metric in folder.found["curves"]
    }
    bands = {metric: arms for metric, arms in bands.items() if arms}
    if not bands:
        return None
    rows = -(-len(bands) // 2)
    words = Words(
        f"{folder.found['study']}: the training", folder.protocol(), _caption(folder, bands)
    )
    page = Page(words, PAGE, rows * (HIGH + ROOM) + 6.0)
    for place, (metric, arms) in enumerate(bands.items()):
        up = (rows - 1 - place // 2) * (HIGH + ROOM) + 8.5
        axes = page.axes(LEFT + (place % 2) * (WIDE + 22.0), up, WIDE, HIGH)
        _panel(axes, folder, metric, arms)
    _legend(page, rows * (HIGH + ROOM), folder, bands)
    return page.figure


def _band(runs: Sequence[Run], metric: str) -> Band | None:
    curves = [dict(zip(*run.curve(metric), strict=True)) for run in runs]
    common = sorted(set.intersection(*map(set, curves))) if curves else []
    if not common:
        return None
    values = np.array([[curve[epoch] for epoch in common] for curve in curves])
    return Band(common, values.mean(0).tolist(), values.min(0).tolist(), values.max(0).tolist())


def _panel(axes: Axes, folder: StudyFolder, metric: str, arms: Mapping[str, Band]) -> None:
    end = _end(arms)
    shown = [value for band in arms.values() for value in _later(band.epochs, (*band[2:],), end)]
    for name, level, style in _floors(folder, metric):
        axes.axhline(level, color=GREY, linestyle=style, linewidth=0.9, zorder=1.5, label=name)
        shown.append(level)
    for arm, band in arms.items():
        look, place = folder.look(arm), folder.arms.index(arm)
        axes.fill_between(band.epochs, band.low, band.high, color=look["color"], alpha=0.2, lw=0)
        # The first arm's line is the widest: it shows on both sides of one that covers it.
        width = 2.0 - place / len(folder.arms)
        marks = _marks(len(band.epochs), place, len(folder.arms))
        axes.plot(band.epochs, band.mean, markevery=marks, markersize=3.5, lw=width, **look)
        epochs, values = _referenced(folder, arm, metric, end)
        dashes = (3.0 * (place % 2), DASHES)
        axes.plot(epochs, values, color=look["color"], linestyle=dashes, linewidth=REFERENCE)
        shown += _later(epochs, (values,), end)
    pad = 0.05 * (max(shown) - min(shown)) or 1.0
    axes.set_ylim(min(shown) - pad, max(shown) + pad)
    axes.set_xlim(0, end * 1.02)
    axes.set_xlabel("epoch")
    axes.set_title(NAMES.get(metric, metric))
    if axes.get_legend_handles_labels()[0]:
        # Above all lines: anywhere else it would lie on one of some study.
        axes.set_ylim(top=max(shown) + HEADROOM * (max(shown) - min(shown)))
        axes.legend(loc="upper right", ncols=2, fontsize=6.0, borderaxespad=0.1)
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10]))
    if metric.endswith("_top1"):
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))


def _marks(points: int, place: int, arms: int) -> list[int]:
    """The points of a line that get a marker: others than of the next arm, if there are enough."""
    every = max(1, points // MARKS)
    if points >= 2 * arms:
        every = max(arms, every)
    return list(range(place * every // arms, points, every))


def _end(arms: Mapping[str, Band]) -> float:
    return max(band.epochs[-1] for band in arms.values()) or 1.0


def _later(epochs: Sequence[float], curves: Sequence[Sequence[float]], end: float) -> list[float]:
    """The values after the first part of the training."""
    return [v for curve in curves for e, v in zip(epochs, curve, strict=True) if e >= FIRST * end]


def _floors(folder: StudyFolder, metric: str) -> list[tuple[str, float, Any]]:
    """Names, levels and line styles of what needs no learning: means over the control's seeds."""
    part, _, name = metric.partition("/")
    starts = [
        line
        for run in folder.runs(folder.found["control"])
        for line in run.metrics()
        if line["step"] == 0
    ]
    # A floor without the name of a split is of the test images.
    plain = f"floor/pixels_{name}"
    keys = {"untrained encoder": [metric], "raw pixels": [f"{plain}_{part}"]}
    if part == "test":
        keys["raw pixels"].append(plain)
    found = []
    for label, style in (("untrained encoder", (0, (1, 1.5))), ("raw pixels", (0, (5, 1, 1, 1)))):
        levels = [line[key] for line in starts for key in keys[label] if key in line]
        if levels:
            found.append((label, float(np.mean(levels)), style))
    return found


def _referenced(
    folder: StudyFolder, arm: str, metric: str, end: float
) -> tuple[list[float], list[float]]:
    """The reference report's curve of the arm, stretched to this training; empty where it has none."""
    configs = {name: runs[0].config for name in folder.arms if (runs := folder.runs(name))}
    of, name = reference.CURVES.get(metric, {}), reference.arms(configs).get(arm, "")
    if name not in of or scope(reference.PROTOCOL, configs[arm], asked=False) != "same data":
        return [], []
    epochs, values = of[name]
    return [epoch * end / reference.EPOCHS for epoch in epochs], list(values)


def _legend(
    page: Page, up: float, folder: StudyFolder, bands: Mapping[str, Mapping[str, Band]]
) -> None:
    axes = page.axes(LEFT, up, PAGE - LEFT - 3.0, 5.0)
    axes.set_axis_off()
    for arm in (a for a in folder.arms if any(a in arms for arms in bands.values())):
        axes.plot([], [], label=arm, markersize=3.0, **folder.look(arm))
    if _has_reference(folder, bands):
        axes.plot(
            [], [], color=INK, linestyle=(0, DASHES), linewidth=REFERENCE, label="reference report"
        )
    axes.legend(loc="center left", ncols=6, borderpad=0, borderaxespad=0, columnspacing=1.5)


def _has_reference(folder: StudyFolder, bands: Mapping[str, Mapping[str, Band]]) -> bool:
    return any(_referenced(folder, arm, m, 1.0)[0] for m, arms in bands.items() for arm in arms)


def _caption(folder: StudyFolder, bands: Mapping[str, Mapping[str, Band]]) -> str:
    many = len(folder.found["seeds"]) > 1
    said = [
        "Lines: means over the seeds; bands: their smallest to largest value. The runs of one seed share "
        "initial weights, order of the images and random draws wherever their configs agree."
        if many
        else "One seed: how far another would lie from these lines is not known."
    ]
    said += _left_out(folder)
    if any(_floors(folder, metric) for metric in bands):
        said.append("Grey: what needs no training.")
    if _has_reference(folder, bands):
        said.append(_about_the_reference(folder, bands))
    return " ".join(said)


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


def _about_the_reference(folder: StudyFolder, bands: Mapping[str, Mapping[str, Band]]) -> str:
    """What must stand where the reference's curves are shown beside those of another training."""
    (run, *_) = folder.runs(folder.found["control"]) or folder.runs(folder.arms[0])
    differ = reference.differences(run.config)
    said = "Dashed: the reference report's arms, values read off its Figure 8, so approximate"
    if "train.duration" in differ:
        end = max(_end(arms) for arms in bands.values())
        said += (
            f"; its {reference.EPOCHS:.0f} epochs are squeezed into these {end:g}, so that "
            "the same place is the same share of the training and not the same epoch"
        )
    # The rate of an optimizer and its schedule are one difference to a reader.
    others = dict.fromkeys(
        field.split(".")[1].replace("_", " ") for field in differ if field != "train.duration"
    )
    if others:
        said += f". Its protocol differs in {', '.join(others)}: compare the order of the arms, not points"
    return said + "."
