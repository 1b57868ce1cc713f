"""The figures of evaluations: log-likelihood over K, and the divergence of every latent coordinate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from triptych.report import reference
from triptych.report.style import COLUMN, GREY, INK, MEASURED, TRAINED, Page, Words
from triptych.report.words import setting, signed
from triptych.runs import Run

__all__ = ["k_curve", "kl_per_dimension"]

Results = Mapping[str, Mapping[str, Any]]

SMALL_ESS = 10
"""Effective samples below which the delta method says too little of the bias."""


def k_curve(run: Run) -> Figure | None:
    """The importance-weighted bound over K with its standard errors, the headline figure marked."""
    results = run.results()
    splits = [name.split("/")[0] for name in results if name.endswith("/log_likelihood_curve")]
    if not splits:
        return None
    split = "test" if "test" in splits else splits[0]
    result = results[f"{split}/log_likelihood_curve"]
    words = Words(
        "Log-likelihood over the number of samples",
        setting(run, split, result["protocol"].get("checkpoint", "")),
        _k_caption(results, split),
    )
    page = Page(words, COLUMN, 58.0)
    axes = page.axes(16.0, 9.0, 67.0, 47.5)
    _bounds(axes, result["value"])
    _headline(axes, results.get(f"{split}/log_likelihood"))
    if split == "test" and not reference.differences(run.config):
        label = f"reference report, K = {reference.SAMPLES}: {signed(reference.LOG_LIKELIHOOD)}"
        axes.axhline(reference.LOG_LIKELIHOOD, color=INK, linestyle="--", linewidth=1.0, label=label)
    axes.set_xlabel("K, importance samples an image")
    axes.set_ylabel("nats an image")
    axes.legend(loc="lower right")
    return page.figure


def _bounds(axes: Axes, curve: Mapping[str, list[float]]) -> None:
    axes.errorbar(
        curve["k"],
        curve["value"],
        yerr=curve["stderr"],
        color=MEASURED,
        marker="o",
        markersize=3.0,
        capsize=2.0,
        elinewidth=0.8,
        label="bound with K samples; K = 1: the ELBO",
    )
    axes.set_xscale("log")
    axes.set_xticks(curve["k"], [f"{k:,}" for k in curve["k"]])
    axes.xaxis.set_minor_locator(NullLocator())


def _headline(axes: Axes, result: Mapping[str, Any] | None) -> None:
    samples = result and re.search(r"K=(\d+)", str(result["protocol"].get("estimator")))
    if not result or not samples:
        return
    k, value, stderr = int(samples[1]), result["value"], result["stderr"]
    axes.plot(
        [k],
        [value],
        linestyle="",
        marker="D",
        markersize=6.0,
        markerfacecolor="none",
        markeredgecolor=TRAINED,
        label=f"headline, K = {k}: {signed(value)} ± {stderr:.2f}",
    )


def _k_caption(results: Results, split: str) -> str:
    count = results[f"{split}/log_likelihood_curve"]["n"]
    said = [
        f"Bars: one standard error over {count:,} images, the same images for every K: "
        "all points move together, so the rise is surer than the bars."
    ]
    ess = results.get(f"{split}/effective_sample_size")
    bias = results.get(f"{split}/importance_bias")
    if ess and bias:
        median, low = ess["value"]["median"], ess["value"]["5% quantile"]
        said.append(
            f"Headline: effective sample size {median:.1f} (median), {low:.1f} (5 % quantile); "
            f"estimated bias {signed(bias['value'])} nat"
            + (", too small an estimate at so few effective samples." if median < SMALL_ESS else ".")
        )
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
    page = Page(words, COLUMN, 50.0)
    axes = page.axes(13.0, 9.0, 70.0, 39.5)
    axes.bar(range(1, len(values) + 1), values, width=0.8, color=MEASURED, linewidth=0)
    axes.set_xlim(0.25, len(values) + 0.75)
    axes.set_ylim(0, max(values[0], 0.01) * 1.08)
    axes.set_xlabel("coordinates, the most divergent first")
    axes.set_ylabel("mean KL, nats an image")
    active = results.get("latent/active_units")
    if active is not None:
        count = f"{active['value']} of {len(values)} units active"
        axes.text(0.98, 0.95, count, transform=axes.transAxes, ha="right", va="top", color=GREY)
    return page.figure


def _kl_caption(results: Results, values: list[float]) -> str:
    said = f"Mean over {results['latent/kl_per_dimension']['n']:,} images; {sum(values):.2f} nats in all."
    active = results.get("latent/active_units")
    if active is not None and "threshold" in active["protocol"]:
        said += f" Active: the variance of E[z|x] over images exceeds {active['protocol']['threshold']:g}."
    return said
