"""The figure of the Lipschitz audit: how steep the critic is on every kind of image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from triptych.reporting.figures.style import COLUMN, INK, MEASURED, TRAINED, Page, Words
from triptych.reporting.words import setting
from triptych.runs import Run

__all__ = ["lipschitz"]

Array = npt.NDArray[Any]

NAMES = {"train": "training images", "generated": "samples", "interpolated": "interpolated"}

ROW = 14.0
"""Millimetres from one kind of images to the next."""

BINS = 60


def lipschitz(run: Run) -> Figure | None:
    """Distributions of the norm of the critic's gradient, by kind of images, with the line at 1."""
    result, arrays = run.results().get("critic/gradient_norm"), run.arrays("gradient_norms")
    if result is None or arrays is None:
        return None
    table, protocol = result["value"], result["protocol"]
    words = Words(
        "Is the critic 1-Lipschitz?",
        setting(run, weights=protocol["checkpoint"]),
        "Norm of the critic's gradient over all pixels of an image, per unit of the critic's scaled "
        "images, with the standard error of the share above 1 (orange). Interpolated: one t for each "
        "pair of a training image and a sample; samples are those of evaluation, by the averaged generator "
        "where there is one. A 1-Lipschitz critic has no share above 1; having none here does not prove one.",
    )
    page = Page(words, COLUMN, ROW * len(table) + 8.0)
    edges = _edges(np.concatenate([arrays[kind] for kind in table]))
    for place, kind in enumerate(table):
        axes = page.axes(22.0, 8.0 + ROW * (len(table) - 1 - place), 61.0, ROW - 4.5)
        _histogram(axes, arrays[kind], edges)
        name = NAMES.get(kind, f"{kind} images")
        axes.text(-0.03, 0.4, name, transform=axes.transAxes, ha="right", va="center", color=INK)
        axes.set_title(_shares(table[kind]), fontsize=6.5, pad=1.5)
        if place < len(table) - 1:
            axes.tick_params(labelbottom=False)
    axes.set_xlabel("‖∇f‖")
    return page.figure


def _edges(norms: Array) -> Array:
    """Bins over all norms and 1, which is an edge: no bar is on both sides of it."""
    low, high = min(float(norms.min()), 1.0), max(float(norms.max()), 1.0)
    width = max(high - low, 0.1) / BINS
    below, above = np.floor((low - 1) / width) - 1, np.ceil((high - 1) / width) + 1
    return 1 + width * np.arange(below, above + 1)


def _histogram(axes: Axes, norms: Array, edges: Array) -> None:
    counts, _ = np.histogram(norms, edges)
    above = edges[:-1] >= 1 - 1e-9
    axes.stairs(np.where(above, 0, counts), edges, fill=True, color=MEASURED)
    axes.stairs(np.where(above, counts, 0), edges, fill=True, color=TRAINED)
    axes.axvline(1, color=INK, linewidth=0.8)
    axes.grid(False)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, max(int(counts.max()), 1) * 1.05)


def _shares(row: Mapping[str, float]) -> str:
    share, stderr = 100 * row["share above 1"], 100 * row["stderr of share"]
    counted = f"{share:.1f} ± {stderr:.1f} %"
    # Of a share of 0 or 1 the binomial standard error is 0, which is not what is known of it.
    if share in (0, 100):
        counted = "all" if share else "none"
    return f"{counted} of {row['n']:,} above 1; largest {row['max']:.2f}"
