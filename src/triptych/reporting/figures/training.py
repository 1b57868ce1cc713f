"""The figure of the training: ELBO over the epochs, and the two terms it consists of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from triptych.reporting.figures.style import INK, MEASURED, PAGE, TRAINED, Page, Words
from triptych.reporting.reference import vae as reference
from triptych.reporting.words import setting, signed
from triptych.runs import Run

__all__ = ["elbo_curve"]

Curve = tuple[list[float], list[float]]
Curves = Mapping[str, Curve]

FEW = 40
"""Points up to which each gets a mark: a line of one point cannot be seen."""

FIRST = 0.1
"""Share of the training whose values may lie outside the axes: the first steps would flatten the rest."""

_LOOKS: dict[str, dict[str, Any]] = {
    "train": {"color": TRAINED, "linewidth": 0.8, "label": "training"},
    "valid": {"color": MEASURED, "linewidth": 1.3, "label": "validation"},
    "reference": {
        "color": INK,
        "linestyle": (0, (4, 2)),
        "linewidth": 0.9,
        "label": "reference report",
    },
}


def elbo_curve(run: Run) -> Figure | None:
    """Training and validation ELBO over the epochs, the reference laid over it, the two terms beside."""
    curves: dict[str, Curves] = {t: _logged(run, t) for t in ("elbo", "reconstruction", "kl")}
    if not curves["elbo"]:
        return None
    end = max(epochs[-1] for epochs, _ in curves["elbo"].values()) or 1.0
    if end >= 1 and not reference.differences(run.config):
        epochs = [float(epoch + 1) for epoch in range(len(reference.ELBO_CURVE))]
        curves["elbo"] = {**curves["elbo"], "reference": (epochs, list(reference.ELBO_CURVE))}
    words = Words("ELBO over the training", setting(run, seed=True), _caption(run, curves, end))
    page = Page(words, PAGE, 68.0)
    places = {
        "elbo": ("ELBO, nats an image", (13.0, 8.5, 92.0, 54.5)),
        "reconstruction": ("reconstruction term, nats", (120.0, 41.5, 48.0, 21.5)),
        "kl": ("KL of q(z|x) from the prior, nats", (120.0, 8.5, 48.0, 21.5)),
    }
    for term, (title, place) in places.items():
        if curves[term]:
            axes = page.axes(*place)
            _panel(axes, curves[term], end)
            axes.set_title(title)
    main, last = page.figure.axes[0], page.figure.axes[-1]
    main.legend(loc="best")
    for axes in {main, last}:
        axes.set_xlabel("epoch")
    return page.figure


def _logged(run: Run, term: str) -> dict[str, Curve]:
    """Epochs and values of one term on each side it was logged on."""
    found = {side: run.curve(f"{side}/{term}") for side in ("train", "valid")}
    return {side: curve for side, curve in found.items() if curve[0]}


def _panel(axes: Axes, curves: Curves, end: float) -> None:
    for side, (epochs, values) in curves.items():
        look = dict(_LOOKS[side])
        if side == "valid":
            look["label"] = f"validation, {signed(values[-1])} at the end"
        # The reference's marks would hide the run's own; they are needed where a line has one point.
        few = end < 2 if side == "reference" else len(epochs) <= FEW
        axes.plot(epochs, values, marker="o" if few else "", markersize=2.2, **look)
    axes.set_xlim(0, end * 1.02)
    axes.set_ylim(*_limits(curves, end))
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10]))


def _limits(curves: Curves, end: float) -> tuple[float, float]:
    """The range of all values after the first part of the training, and a little more."""
    later = [
        value
        for epochs, values in curves.values()
        for epoch, value in zip(epochs, values, strict=True)
        if FIRST * end <= epoch <= end
    ]
    low, high = min(later, default=0.0), max(later, default=0.0)
    pad = 0.05 * (high - low) or 1.0
    return low - pad, high + pad


def _caption(run: Run, curves: Mapping[str, Curves], end: float) -> str:
    said = []
    if "train" in curves["elbo"]:
        said.append(
            "Training: means over the steps since the point before, while the weights move."
        )
    if any(_beyond(found, end) for found in curves.values()):
        lowest = signed(min(_own(curves["elbo"])), 0)
        said.append(
            "Axes fit the training after its first tenth; earlier values reach beyond them "
            f"(lowest ELBO {lowest})."
        )
    if "reference" in curves["elbo"]:
        said.append(
            f"Reference: {reference.CAVEAT}; its text ends at {signed(reference.FINAL_ELBO)}."
        )
        if run.config["train"]["dtype"] != "fp32":
            said.append("This run multiplies matrices in bf16.")
    return " ".join(said)


def _own(curves: Curves) -> list[float]:
    """Every value that is the run's and not the reference's."""
    return [v for side, (_, values) in curves.items() if side != "reference" for v in values]


def _beyond(curves: Curves, end: float) -> bool:
    """Whether a value of the run lies outside its axes."""
    low, high = _limits(curves, end)
    return any(not low <= value <= high for value in _own(curves))
