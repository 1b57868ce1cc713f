"""The figure of the training: ELBO over the epochs, and the two terms it consists of."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from triptych.report import reference
from triptych.report.style import INK, MEASURED, PAGE, TRAINED, Page, Words
from triptych.report.words import joined, setting, signed
from triptych.runs import Run

__all__ = ["elbo_curve"]

Curve = tuple[list[float], list[float]]

FEW = 40
"""Points up to which each gets a mark: a line of one point cannot be seen."""

FIRST = 0.1
"""Share of the training whose values may lie outside the axes: the first steps would flatten the rest."""


def elbo_curve(run: Run) -> Figure | None:
    """Training and validation ELBO over the epochs, the reference laid over it, the two terms beside."""
    curves = _logged(run, "elbo")
    if not curves:
        return None
    end = max(epochs[-1] for epochs, _ in curves.values())
    drawn = dict(curves)
    if end >= 1 and not reference.differences(run.config):
        drawn["reference"] = (list(map(float, range(1, 21))), list(reference.ELBO_CURVE))
    title = joined(setting(run), f"seed {run.config.get('seed', '?')}")
    page = Page(Words("ELBO over the training", title, _caption(run, drawn, end)), PAGE, 66.0)
    axes = page.axes(14.0, 8.5, 90.0, 56.0)
    _panel(axes, drawn, end)
    axes.set_ylabel("ELBO, nats an image")
    axes.set_xlabel("epoch")
    axes.legend(loc="lower right")
    _terms(page, run, end)
    return page.figure


def _terms(page: Page, run: Run, end: float) -> None:
    small = {
        "reconstruction": ("reconstruction term, nats", page.axes(119.0, 40.5, 50.0, 20.5)),
        "kl": ("KL of q(z|x) from the prior, nats", page.axes(119.0, 8.5, 50.0, 20.5)),
    }
    for term, (title, axes) in small.items():
        curves = _logged(run, term)
        if not curves:
            axes.remove()
            continue
        _panel(axes, curves, end)
        axes.set_title(title, fontsize=7, loc="left", pad=4, color=INK)
        axes.set_xlabel("epoch", labelpad=1)


def _logged(run: Run, term: str) -> dict[str, Curve]:
    """Epochs and values of one term on each side it was logged on."""
    found = {side: run.curve(f"{side}/{term}") for side in ("train", "valid")}
    return {side: curve for side, curve in found.items() if curve[0]}


def _panel(axes: Axes, curves: Mapping[str, Curve], end: float) -> None:
    looks = {
        "train": {"color": TRAINED, "linewidth": 0.9, "label": "training"},
        "valid": {"color": MEASURED, "linewidth": 1.4, "label": "validation"},
        "reference": {"color": INK, "linewidth": 1.0, "linestyle": "--", "label": "reference report"},
    }
    for side, (epochs, values) in curves.items():
        look = looks[side]
        if side == "valid":
            look["label"] = f"validation, {signed(values[-1])} at the end"
        marker = "o" if len(epochs) <= FEW else ""
        axes.plot(epochs, values, marker=marker, markersize=2.4, **look)  # type: ignore[arg-type]
    axes.set_xlim(0, end * 1.02)
    axes.set_ylim(*_limits(curves, end))


def _limits(curves: Mapping[str, Curve], end: float) -> tuple[float, float]:
    """The range of all values after the first part of the training, and a little more."""
    later = [
        value
        for epochs, values in curves.values()
        for epoch, value in zip(epochs, values, strict=True)
        if FIRST * end <= epoch <= end
    ]
    low, high = min(later), max(later)
    pad = 0.05 * (high - low) or 1.0
    return low - pad, high + pad


def _caption(run: Run, curves: Mapping[str, Curve], end: float) -> str:
    said = []
    if "train" in curves:
        said.append("Training: means over the steps since the point before, while the weights move.")
    own = [min(values) for side, (_, values) in curves.items() if side != "reference"]
    if min(own) < _limits(curves, end)[0]:
        said.append(f"Values of the first tenth lie below the axis, from {signed(min(own), 0)} on.")
    if "reference" in curves:
        said.append(f"Reference: {reference.CAVEAT}; its text ends at {signed(reference.FINAL_ELBO)}.")
        if run.config["train"]["dtype"] != "fp32":
            said.append("This run multiplies matrices in bf16.")
    return " ".join(said)
