"""The figures of a likelihood: the bound over the training, its estimates over K, and what each coordinate carries."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from triptych.intervals import EFFECTIVE
from triptych.metrics import SPLITS
from triptych.reporting.figures.curves import draw_panel
from triptych.reporting.figures.panels import Curve, Line, Panel
from triptych.reporting.figures.quantities import panels
from triptych.reporting.figures.style import (
    COLUMN,
    INK,
    MEASURED,
    PAGE,
    TRAINED,
    Page,
    Words,
)
from triptych.reporting.looks import OVERLAID
from triptych.reporting.words import setting, signed, with_error
from triptych.runs import Run

__all__ = ["Overlay", "elbo_curve", "k_curve", "kl_per_dimension"]


class Overlay(NamedTuple):
    """Numbers of another report that are drawn over a run's own: a curve, or a level (one value and no epochs)."""

    name: str
    curve: Curve
    caption: str


def elbo_curve(run: Run, laid_over: Overlay | None = None) -> Figure | None:
    """Training and validation ELBO over the epochs, and its two terms; a curve of somebody else's may be laid over it."""
    found = {panel.name: panel for panel in panels(run) if panel.figure == "elbo-curve"}
    if "elbo" not in found:
        return None
    elbo = found["elbo"]
    said = _caption(list(found.values()))
    if laid_over is not None and elbo.end >= 1:
        over = Line(laid_over.name, *laid_over.curve, OVERLAID, over=True)
        found["elbo"] = replace(elbo, lines=[*elbo.lines, over])
        said.append(laid_over.caption)
    words = Words("ELBO over the training", setting(run, seed=True), " ".join(said))
    page = Page(words, PAGE, 68.0)
    places = {
        "elbo": (13.0, 8.5, 92.0, 54.5),
        "reconstruction": (120.0, 41.5, 46.5, 21.5),
        "kl": (120.0, 8.5, 46.5, 21.5),
    }
    for name, place in places.items():
        if name in found:
            axes = page.axes(*place)
            draw_panel(axes, found[name])
            # A small panel has no room for the whole unit.
            axes.set_title(found[name].title.removesuffix(" an image"))
    main, last = page.figure.axes[0], page.figure.axes[-1]
    main.set_title(elbo.title)
    main.legend(loc="best")
    for axes in {main, last}:
        axes.set_xlabel("epoch")
    return page.figure


def _caption(found: Sequence[Panel]) -> list[str]:
    said = []
    if any(line.name == SPLITS["train"] for line in found[0].lines):
        said.append(
            "Training: means over the steps since the point before, while the weights move."
        )
    last = [line.values[-1] for line in found[0].lines if line.name == SPLITS["valid"]]
    said += [f"Validation ELBO at the end: {signed(value)}." for value in last]
    if any(panel.axis.cut for panel in found):
        said.append(
            "Values of the beginning reach beyond these axes "
            f"(lowest ELBO {signed(min(found[0].values), 0)})."
        )
    return said


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
        protocol = active["protocol"]
        of = str(protocol.get("estimator", "")).partition("Var over images of ")[2] or "E[z|x]"
        said += f" Active: the variance of {of} over images exceeds {protocol['threshold']:g}."
    return said
