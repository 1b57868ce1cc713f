"""The curves of a representation in training: what it is good for, and whether it collapses."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from triptych.reporting.figures.curves import draw_panel, key, name_ends
from triptych.reporting.figures.panels import Panel
from triptych.reporting.figures.quantities import loss_met, panels
from triptych.reporting.figures.style import PAGE, Page, Words
from triptych.reporting.words import joined, plain, setting
from triptych.runs import Run

__all__ = ["representation_curves"]

TALL, GAP = 38.0, 9.5
"""Millimetres of a panel's height, and from one panel to the next: room for the numbers of its axis."""

EDGE = 2.5
"""Millimetres from the last panel to the edge of the page: room for half a number."""

HEADLINE, ENDS = 69.0, 28.0
"""Millimetres of the widest panel, and of the words at the ends of its lines."""


SMALL = ("features-std", "rank", "alignment", "features-retrieval")
"""The panels of the second row, as far as they are not the headline."""


def representation_curves(run: Run) -> Figure | None:
    """Accuracy of neighbours and its baselines (retrieval where there are no labels), loss, and the measures of a collapse."""
    found = {p.name: p for p in panels(run) if p.figure == "representation-curves"}
    if "features-std" not in found:
        return None
    headline = found.get("test-knn-top1") or found.get("features-retrieval")
    small = [p for name in SMALL if (p := found.get(name)) is not None and p is not headline]
    protocol = joined(setting(run, seed=True), *_changed(run))
    caption = _caption(run, found)
    page = Page(
        Words("The representation over the training", protocol, caption), PAGE, 2 * TALL + 26.0
    )
    alarms, top = _alarms(run), TALL + 21.0
    if headline is not None:
        axes = page.axes(GAP, top, HEADLINE, TALL)
        draw_panel(axes, headline, alarms, labels=False)
        name_ends(axes, headline, TALL)
    left = GAP + HEADLINE + ENDS + GAP
    if "train-loss" in found:
        axes = page.axes(left, top, PAGE - EDGE - left, TALL)
        draw_panel(axes, found["train-loss"], alarms)
        key(axes, found["train-loss"])
    width = (PAGE - EDGE) / len(small) - GAP
    for place, panel in enumerate(small):
        axes = page.axes(GAP + place * (width + GAP), 7.5, width, TALL)
        draw_panel(axes, panel, alarms)
        key(axes, panel)
    for axes in page.figure.axes:
        axes.set_xlabel("epoch", labelpad=1.0)
    return page.figure


def _alarms(run: Run) -> list[float]:
    """The epochs since which alarms are true."""
    steps, epochs = zip(*((entry["step"], entry["epoch"]) for entry in run.metrics()), strict=True)
    return [float(np.interp(step, steps, epochs)) for step, _ in run.alarms()]


def _changed(run: Run) -> list[str]:
    """What an ablation has taken away, so that its picture is not taken for the method's."""
    method = run.config.get("method", {})
    said = {"none": "no predictor", "fixed-random": "fixed random predictor"}
    # A method of one's own may have the widths of its predictor there.
    predictor = said.get(str(method.get("predictor", "")), "")
    return ["no stop-gradient" if method.get("stop_gradient") is False else "", predictor]


def _caption(run: Run, found: Mapping[str, Panel]) -> str:
    said, labelled = [], "test-knn-top1" in found
    if labelled:
        said.append(
            "kNN: training images vote on each image's class, by cosine of the backbone's features; untrained: this "
            "network before the first step. Weights are chosen by validation; test is shown, never selected on."
        )
    met = loss_met(run)
    loss = "" if met is None else f"a loss near {plain(met)}, "
    said.append(
        "Retrieval: held-out images whose second view is of all second views the nearest to their first, by the "
        "backbone's features; it needs no labels"
        + (". " if labelled else ", and these data have none. ")
        + "Std, alignment and uniformity are of the projections at unit length; the lower alignment and uniformity are "
        f"together, the better. Complete collapse: {loss}std × √d, alignment and uniformity near 0. Dimensional "
        "collapse: std × √d may stay near 1, but the views agree in a few directions only. Neither, and no "
        "rise above the untrained line: the network has learned nothing."
    )
    said += ["Values of the beginning reach beyond these axes."] * any(
        p.axis.cut for p in found.values()
    )
    said += [f"Alarm at step {step:,} (dotted): {text}." for step, text in run.alarms()]
    return " ".join(said)
