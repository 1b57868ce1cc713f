"""The figures of a likelihood: the bound over the training, its estimates over K, and what each coordinate carries."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from triptych.intervals import EFFECTIVE
from triptych.metrics import metric
from triptych.reporting.figures.style import (
    COLUMN,
    INK,
    MEASURED,
    PAGE,
    TRAINED,
    Page,
    Words,
)
from triptych.reporting.words import setting, signed, with_error
from triptych.runs import Run

__all__ = ["Overlay", "elbo_curve", "k_curve", "kl_per_dimension", "shown"]

Curve = tuple[list[float], list[float]]
Curves = Mapping[str, Curve]

FEW = 40
"""Points up to which each gets a mark: a line of one point cannot be seen."""

FIRST = 0.1
"""Share of the training whose values may lie outside the axes: the first steps would flatten the rest."""

TERMS = ("elbo", "reconstruction", "kl")

_LOOKS: dict[str, dict[str, Any]] = {
    "train": {"color": TRAINED, "linewidth": 0.8, "label": "training"},
    "valid": {"color": MEASURED, "linewidth": 1.3, "label": "validation"},
    "other": {"color": INK, "linestyle": (0, (4, 2)), "linewidth": 0.9},
}


class Overlay(NamedTuple):
    """Numbers of another report that are drawn over a run's own: a curve, or a level (one value and no epochs)."""

    name: str
    curve: Curve
    caption: str


def shown(logged: Mapping[str, Collection[str]]) -> set[str]:
    """The terms that `elbo_curve` shows of a run, given all that it logged, by the name without the split."""
    return {f"{side}/{term}" for side in ("train", "valid") for term in TERMS if "elbo" in logged}


def elbo_curve(run: Run, laid_over: Overlay | None = None) -> Figure | None:
    """Training and validation ELBO over the epochs, and its two terms; a curve of somebody else's may be laid over it."""
    curves: dict[str, Curves] = {term: _logged(run, term) for term in TERMS}
    if not curves["elbo"]:
        return None
    end = max(epochs[-1] for epochs, _ in curves["elbo"].values()) or 1.0
    said = _caption(curves, end)
    if laid_over is not None and end >= 1:
        curves["elbo"] = {**curves["elbo"], "other": laid_over.curve}
        said.append(laid_over.caption)
    words = Words("ELBO over the training", setting(run, seed=True), " ".join(said))
    page = Page(words, PAGE, 68.0)
    places = {
        "elbo": (13.0, 8.5, 92.0, 54.5),
        "reconstruction": (120.0, 41.5, 48.0, 21.5),
        "kl": (120.0, 8.5, 48.0, 21.5),
    }
    for term, place in places.items():
        if curves[term]:
            axes = page.axes(*place)
            _panel(axes, curves[term], end, laid_over.name if laid_over else "")
            axes.set_title(_title(term))
    main, last = page.figure.axes[0], page.figure.axes[-1]
    main.legend(loc="best")
    for axes in {main, last}:
        axes.set_xlabel("epoch")
    return page.figure


def _title(term: str) -> str:
    """A small panel has no room for the whole unit."""
    declared = metric(f"valid/{term}")
    return declared.heading if term == "elbo" else f"{declared.title}, nats"


def _logged(run: Run, term: str) -> dict[str, Curve]:
    """Epochs and values of one term on each side it was logged on."""
    found = {side: run.curve(f"{side}/{term}") for side in ("train", "valid")}
    return {side: curve for side, curve in found.items() if curve[0]}


def _panel(axes: Axes, curves: Curves, end: float, other: str) -> None:
    for side, (epochs, values) in curves.items():
        look = {"label": other, **_LOOKS[side]}
        if side == "valid":
            look["label"] = f"validation, {signed(values[-1])} at the end"
        # The marks of what is laid over would hide the run's own; they are needed where a line has one point.
        few = end < 2 if side == "other" else len(epochs) <= FEW
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


def _caption(curves: Mapping[str, Curves], end: float) -> list[str]:
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
    return said


def _own(curves: Curves) -> list[float]:
    """Every value that is the run's and not laid over it."""
    return [v for side, (_, values) in curves.items() if side != "other" for v in values]


def _beyond(curves: Curves, end: float) -> bool:
    """Whether a value of the run lies outside its axes."""
    low, high = _limits(curves, end)
    return any(not low <= value <= high for value in _own(curves))


Results = Mapping[str, Mapping[str, Any]]


def k_curve(run: Run, laid_over: Overlay | None = None) -> Figure | None:
    """The importance-weighted bound over K with its standard errors, the headline figure marked.

    A level that is ``laid_over`` is of test images, and is drawn only where the curve is of them too.
    """
    results = run.results()
    splits = [name.split("/")[0] for name in results if name.endswith("/log_likelihood_curve")]
    if not splits:
        return None
    split = "test" if "test" in splits else splits[0]
    result = results[f"{split}/log_likelihood_curve"]
    laid_over = laid_over if split == "test" else None
    said = [*_k_caption(results, split), *([laid_over.caption] if laid_over else [])]
    words = Words(
        "Log-likelihood against the number of samples",
        setting(run, split, result["protocol"].get("checkpoint", "")),
        " ".join(said),
    )
    page = Page(words, COLUMN, 60.0)
    axes = page.axes(13.0, 9.0, 68.0, 46.0)
    _bounds(axes, result["value"])
    _headline(axes, results.get(f"{split}/log_likelihood"))
    if laid_over:
        (level,) = laid_over.curve[1]
        axes.axhline(level, color=INK, linestyle="--", linewidth=1.0, label=laid_over.name)
    axes.set_xlabel("K, importance samples an image")
    axes.set_title("bound on log p(x), nats an image")
    axes.legend(loc="best")
    return page.figure


def _bounds(axes: Axes, curve: Mapping[str, list[float]]) -> None:
    k, value = curve["k"], curve["value"]
    # One image has no standard error, and its points no bars.
    stderr = [math.nan if error is None else error for error in curve["stderr"]]
    label = "bound, K samples (K = 1: ELBO)"
    axes.plot(k, value, color=MEASURED, marker="o", markersize=3.0, label=label)
    axes.errorbar(k, value, stderr, fmt="none", ecolor=MEASURED, capsize=2.0, elinewidth=0.8)
    axes.set_xscale("log")
    axes.set_xticks(k, [f"{count:,}" for count in k])
    axes.xaxis.set_minor_locator(NullLocator())


def _headline(axes: Axes, result: Mapping[str, Any] | None) -> None:
    if not result or "K" not in result["protocol"]:
        return
    k, value = int(result["protocol"]["K"]), result["value"]
    axes.plot(
        [k],
        [value],
        linestyle="",
        marker="D",
        markersize=6.0,
        markerfacecolor="none",
        markeredgecolor=TRAINED,
        label=f"headline, K = {k}: {with_error(value, result['stderr'])}",
    )


def _k_caption(results: Results, split: str) -> list[str]:
    count = results[f"{split}/log_likelihood_curve"]["n"]
    said = [
        f"Bars: one standard error over {count:,} images, the same images for every K: "
        "all points move together, so the rise is surer than the bars."
    ]
    ess = results.get(f"{split}/effective_sample_size")
    bias = results.get(f"{split}/importance_bias")
    if ess:
        median, low = ess["value"]["median"], ess["value"]["5% quantile"]
        # A run that was evaluated by an earlier version has a number here whatever the sample size.
        told = (
            f"estimated bias {signed(bias['value'], 3)} nat"
            if bias and low >= EFFECTIVE
            else "too few to estimate how far it lies below log p(x)"
        )
        said.append(
            f"Headline: effective sample size {median:.1f} in the median, {low:.1f} at the "
            f"5\u00a0% quantile; {told}."
        )
    return said


def kl_per_dimension(run: Run) -> Figure | None:
    """The mean divergence of every latent coordinate from the prior, the largest first."""
    results = run.results()
    result = results.get("latent/kl_per_dimension")
    if result is None:
        return None
    values = sorted(result["value"], reverse=True)
    protocol = result["protocol"]
    words = Words(
        "What each latent coordinate carries",
        setting(run, protocol.get("split", ""), protocol.get("checkpoint", "")),
        _kl_caption(results, values),
    )
    page = Page(words, COLUMN, 52.0)
    axes = page.axes(10.0, 9.0, 72.0, 38.0)
    edges = [rank + 0.5 for rank in range(len(values) + 1)]
    axes.stairs(values, edges, fill=True, color=MEASURED)
    axes.set_xlim(edges[0], edges[-1])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(0, max(values[0], 0.01) * 1.08)
    axes.set_xlabel("latent coordinates, the largest KL first")
    axes.set_title("mean KL from the prior, nats an image")
    active = results.get("latent/active_units")
    if active is not None:
        count = f"{active['value']} of {len(values)} units active"
        axes.text(0.98, 0.95, count, transform=axes.transAxes, ha="right", va="top", color=INK)
    return page.figure


def _kl_caption(results: Results, values: list[float]) -> str:
    said = f"Mean over {results['latent/kl_per_dimension']['n']:,} images; {sum(values):.2f} nats in all."
    active = results.get("latent/active_units")
    if active is not None and "threshold" in active["protocol"]:
        said += f" Active: the variance of E[z|x] over images exceeds {active['protocol']['threshold']:g}."
    return said
