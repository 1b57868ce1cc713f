"""The figures of evaluations: log-likelihood over K, and the divergence of every latent coordinate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from triptych.reporting.figures.style import COLUMN, INK, MEASURED, TRAINED, Page, Words
from triptych.reporting.reference import vae as reference
from triptych.reporting.words import setting, signed, with_error
from triptych.runs import Run

__all__ = ["k_curve", "kl_per_dimension"]

Results = Mapping[str, Mapping[str, Any]]

SMALL_ESS = 20
"""Effective samples that 19 of 20 images must have for the delta method to say anything of the bias."""


def k_curve(run: Run) -> Figure | None:
    """The importance-weighted bound over K with its standard errors, the headline figure marked."""
    results = run.results()
    splits = [name.split("/")[0] for name in results if name.endswith("/log_likelihood_curve")]
    if not splits:
        return None
    split = "test" if "test" in splits else splits[0]
    result = results[f"{split}/log_likelihood_curve"]
    words = Words(
        "Log-likelihood against the number of samples",
        setting(run, split, result["protocol"].get("checkpoint", "")),
        _k_caption(results, split, _follows_reference(run, split)),
    )
    page = Page(words, COLUMN, 60.0)
    axes = page.axes(13.0, 9.0, 68.0, 46.0)
    _bounds(axes, result["value"])
    _headline(axes, results.get(f"{split}/log_likelihood"))
    if _follows_reference(run, split):
        label = f"reference report, K = {reference.SAMPLES}: {signed(reference.LOG_LIKELIHOOD)}"
        axes.axhline(
            reference.LOG_LIKELIHOOD, color=INK, linestyle="--", linewidth=1.0, label=label
        )
    axes.set_xlabel("K, importance samples an image")
    axes.set_title("bound on log p(x), nats an image")
    axes.legend(loc="best")
    return page.figure


def _follows_reference(run: Run, split: str) -> bool:
    return split == "test" and not reference.differences(run.config)


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


def _k_caption(results: Results, split: str, with_reference: bool) -> str:
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
            if bias and low >= SMALL_ESS
            else "too few to estimate how far it lies below log p(x)"
        )
        said.append(
            f"Headline: effective sample size {median:.1f} in the median, {low:.1f} at the "
            f"5\u00a0% quantile; {told}."
        )
    if with_reference:
        said.append("Reference: after 20 epochs.")
    return " ".join(said)


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
