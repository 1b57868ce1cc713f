"""The curves of a representation in training: what it is good for, and whether it collapses."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from triptych.reporting.figures.curves import (
    DASHDOT,
    DASHED,
    DOTTED,
    Curve,
    Line,
    Panel,
    draw_panel,
    name_ends,
)
from triptych.reporting.figures.style import GREY, INK, MEASURED, PAGE, TRAINED, Page, Words
from triptych.reporting.words import joined, plain, setting
from triptych.runs import Run

__all__ = ["representation_curves", "shown"]

TALL, GAP = 38.0, 9.5
"""Millimetres of a panel's height, and from one panel to the next: room for the numbers of its axis."""

PAPER: Any = {"frameon": True, "framealpha": 0.85, "edgecolor": "none", "borderpad": 0.1}
"""Of legends: the lines of alarms are not to run through words."""

HEADLINE, ENDS = 69.0, 28.0
"""Millimetres of the widest panel, and of the words at the ends of its lines."""


def representation_curves(run: Run) -> Figure | None:
    """Accuracy of neighbours and its baselines (retrieval where there are no labels), loss, and the measures of a collapse."""
    if not _curve(run, "features/std")[0]:
        return None
    knn, retrieval = _knn(run), _retrieval(run)
    headline = knn or retrieval
    small = [_std(run), _ranks(run), _sphere(run)] + [retrieval] * (knn is not None)
    protocol = joined(setting(run, seed=True), *_changed(run))
    words = Words("The representation over the training", protocol, _caption(run))
    page = Page(words, PAGE, 2 * TALL + 26.0)
    end, alarms, top = max(e["epoch"] for e in run.metrics()), _alarms(run), TALL + 21.0
    axes = page.axes(GAP, top, HEADLINE, TALL)
    draw_panel(axes, headline, end, alarms)
    name_ends(axes, headline.lines, TALL)
    left = GAP + HEADLINE + ENDS + GAP
    if (loss := _loss(run)).lines:
        draw_panel(page.axes(left, top, PAGE - 1.0 - left, TALL), loss, end, alarms)
    width = (PAGE - 1.0) / len(small) - GAP
    for place, panel in enumerate(small):
        axes = page.axes(GAP + place * (width + GAP), 7.5, width, TALL)
        draw_panel(axes, panel, end, alarms)
        if len(panel.lines) > 1:
            axes.legend(loc="best", fontsize=6.5, borderaxespad=0.2, **PAPER)
    for axes in page.figure.axes:
        axes.set_xlabel("epoch", labelpad=1.0)
    return page.figure


def _alarms(run: Run) -> list[float]:
    """The epochs since which alarms are true."""
    steps, epochs = zip(*((entry["step"], entry["epoch"]) for entry in run.metrics()), strict=True)
    return [float(np.interp(step, steps, epochs)) for step, _ in run.alarms()]


def _curve(run: Run, name: str, scale: float = 1.0) -> Curve:
    """Epochs and values of a metric where it is a number: a run that diverged logs others."""
    points = [(e, v * scale) for e, v in zip(*run.curve(name), strict=True) if math.isfinite(v)]
    return [p[0] for p in points], [p[1] for p in points]


def _knn(run: Run) -> Panel | None:
    """The classes of the nearest neighbours, and what is reached without training; none without labels."""
    test = _curve(run, "test/knn_top1", 100)
    valid = _curve(run, "valid/knn_top1", 100)
    if not (test[0] or valid[0]):
        return None
    lines = [Line("test", test, MEASURED), Line("validation", valid, TRAINED, DASHED)]
    lines += _untrained(test if test[0] else valid)
    pixels = _curve(run, "floor/pixels_knn_top1", 100)[1]
    lines.append(Line("raw pixels", ([], pixels[:1]), INK, DASHDOT))
    arrays = run.arrays("neighbours")
    if arrays is not None and "classes" in arrays:
        lines.append(Line("chance", ([], [100 / len(arrays["classes"])]), GREY, DOTTED))
    return Panel("kNN top-1: images whose class the neighbours find", _there(lines), percent=True)


def _untrained(curve: Curve) -> list[Line]:
    """The level of step 0: the same network before any training."""
    return [Line("untrained", ([], curve[1][:1]), GREY, DASHED)] if curve[0][:1] == [0] else []


def _retrieval(run: Run) -> Panel:
    found = _curve(run, "features/retrieval", 100)
    lines = [Line("trained", found, MEASURED), *_untrained(found)]
    return Panel("retrieval of the other view", _there(lines), percent=True)


def shown(logged: Mapping[str, Collection[str]]) -> set[str]:
    """The terms that `representation_curves` shows of a run, given all that it logged, by the name without the split."""
    there = "features/std" in logged
    return {"train/loss", "valid/knn_top1", "valid/knn_balanced"} if there else set()


def _loss(run: Run) -> Panel:
    """The loss. If the method declares it as a cosine, the axis reaches to the value at which predictions equal targets."""
    curve = _curve(run, "train/loss")
    lines, end = _there([Line("training", curve, TRAINED)]), _met(run)
    values = curve[1] + ([end, 0.0] if end is not None else [])
    low, high = min(values, default=0.0), max(values, default=0.0)
    pad = 0.02 * (high - low) if end is not None else 0.05 * (high - low) or 0.1
    return Panel("training loss", lines, low - pad, high + pad)


def _met(run: Run) -> float | None:
    """The loss at which predictions equal targets: −1 or 1 where the method declares its loss as a cosine, else none."""
    told = run.environment().get("method")
    cosine = told.get("cosine") if isinstance(told, dict) else None
    return {"-loss": -1.0, "loss": 1.0}.get(str(cosine))


def _std(run: Run) -> Panel:
    lines = [Line("projection", _curve(run, "features/std"), MEASURED)]
    lines.append(Line("evenly spread", ([], [1.0]), GREY, DASHED))
    return Panel("std × √d of the projection", lines, high=1.12)


def _ranks(run: Run) -> Panel:
    found = [
        Line(name, _curve(run, f"features/{key}"), colour, style)
        for name, key, colour, style in (
            ("backbone", "backbone_rank", TRAINED, DASHED),
            ("projection", "effective_rank", MEASURED, "-"),
        )
    ]
    # Features that are all the same have rank 0, which no logarithmic axis has.
    found = [
        line._replace(curve=(line.curve[0], [max(v, 1) for v in line.curve[1]])) for line in found
    ]
    highest = max(value for line in found for value in [*line.curve[1], 1])
    return Panel(
        "effective rank (logarithmic)", _there(found), 0.9, max(12.0, highest * 1.4), log=True
    )


def _sphere(run: Run) -> Panel:
    lines = [
        Line("alignment", _curve(run, "features/alignment"), MEASURED),
        Line("uniformity", _curve(run, "features/uniformity"), TRAINED, DASHED),
        Line("both: collapse", ([], [0.0]), GREY, DOTTED),
    ]
    lowest = min([0.0, *lines[1].curve[1]])
    return Panel("alignment and uniformity", _there(lines), 1.06 * lowest - 0.02)


def _there(lines: Sequence[Line]) -> list[Line]:
    return [line for line in lines if line.curve[1]]


def _changed(run: Run) -> list[str]:
    """What an ablation has taken away, so that its picture is not taken for the method's."""
    method = run.config.get("method", {})
    said = {"none": "no predictor", "fixed-random": "fixed random predictor"}
    # A method of one's own may have the widths of its predictor there.
    predictor = said.get(str(method.get("predictor", "")), "")
    return ["no stop-gradient" if method.get("stop_gradient") is False else "", predictor]


def _caption(run: Run) -> str:
    said = []
    if _knn(run):
        said.append(
            "kNN: training images vote on each image's class, by cosine of the backbone's features; untrained: this "
            "network before the first step. Weights are chosen by validation; test is shown, never selected on."
        )
    met = _met(run)
    loss = "" if met is None else f"a loss near {plain(met)}, "
    said.append(
        "Retrieval: held-out images whose second view is of all second views the nearest to their first, by the "
        "backbone's features; it needs no labels"
        + (". " if _knn(run) else ", and these data have none. ")
        + "Std, alignment and uniformity are of the projections at unit length; the lower alignment and uniformity are "
        f"together, the better. Complete collapse: {loss}std × √d, alignment and uniformity near 0. Dimensional "
        "collapse: std × √d may stay near 1, but the views agree in a few directions only. Neither, and no "
        "rise above the untrained line: the network has learned nothing."
    )
    said += [f"Alarm at step {step:,} (dotted): {text}." for step, text in run.alarms()]
    return " ".join(said)
