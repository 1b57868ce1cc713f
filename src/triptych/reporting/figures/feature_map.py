"""The figure of features: a map of them in two dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from triptych.reporting.figures.style import INK, MEASURED, PAGE, Page, Words
from triptych.reporting.words import setting
from triptych.runs import Run

__all__ = ["LOOKS", "feature_map", "frequent", "short"]

Array = npt.NDArray[Any]

# Tol's "muted" scheme and black: distinct to every kind of colour vision, and by shape without colours.
LOOKS = (
    *(("#CC6677", "o"), ("#332288", "s"), ("#DDCC77", "^"), ("#117733", "D"), ("#88CCEE", "v")),
    *(("#882255", "P"), ("#44AA99", "X"), ("#999933", "<"), ("#AA4499", ">"), ("#1a1a1a", "*")),
)
"""Colours and marks of classes; of more classes only the most frequent have one."""

SIDE = 78.0
"""Millimetres of a map."""

LEGEND = 5.0
"""Millimetres of the line that says which mark is which class."""

TURNS = 8
"""Points are drawn in so many turns, each of all classes: none lies above all others."""

LETTER, BOX = 1.5, 4.0
"""Millimetres of a letter of a name on the map, and of the height of its box."""

LETTERS = 12
"""Of a class's name that there is room for."""


def feature_map(run: Run) -> Figure | None:
    """The same features in two dimensions, by PCA and by t-SNE, their classes by colour and mark."""
    arrays = run.arrays("feature-map")
    if arrays is None:
        return None
    labels = arrays.get("labels", np.zeros(len(arrays["pca"]), np.int64))
    shown = frequent(labels)
    named = "labels" in arrays
    split, weights = (str(arrays[name]) for name in ("split", "checkpoint"))
    words = Words(
        f"A map of {len(labels):,} images by their features",
        setting(run, split, weights, seed=True),
        _caption(arrays, len(np.unique(labels)) - len(shown)),
    )
    legend = LEGEND * named
    page = Page(words, PAGE, SIDE + 11.0 + legend)
    for left, name in ((5.0, "pca"), (PAGE - 1.0 - SIDE, "tsne")):
        axes = page.axes(left, 5.5 + legend, SIDE, SIDE)
        _scatter(axes, arrays[name], labels, shown if named else [])
        axes.set_title({"pca": "PCA", "tsne": "t-SNE"}[name])
        if named and arrays["shares"].any():
            _name_classes(axes, arrays[name], labels, shown, arrays["classes"])
    _name_components(page.figure.axes[0], arrays["shares"])
    if named:
        _legend(page.axes(0.0, 0.0, PAGE, LEGEND), shown, arrays["classes"])
    return page.figure


def frequent(labels: Array) -> list[int]:
    """The classes to be told apart, in their own order: all, or the most frequent."""
    classes, counts = np.unique(labels, return_counts=True)
    return sorted(classes[np.argsort(-counts, kind="stable")[: len(LOOKS)]].tolist())


def _scatter(axes: Axes, points: Array, labels: Array, shown: list[int]) -> None:
    look: Any = {"linewidths": 0, "alpha": 0.8}
    rest = points[~np.isin(labels, shown)]
    plain = "#c4c4c4" if shown else MEASURED
    axes.scatter(rest[:, 0], rest[:, 1], s=3.0, color=plain, **look)
    for turn in range(TURNS):
        for name, (colour, mark) in zip(shown, LOOKS, strict=False):
            part = points[labels == name][turn::TURNS]
            axes.scatter(part[:, 0], part[:, 1], s=7.0, color=colour, marker=mark, **look)
    reach = 1.05 * max(float(np.ptp(points, axis=0).max()) / 2, 1e-6)
    for middle, limit in zip((points.min(0) + points.max(0)) / 2, ("x", "y"), strict=True):
        axes.set(**{f"{limit}lim": (middle - reach, middle + reach)})
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])


def _name_classes(axes: Axes, points: Array, labels: Array, shown: list[int], names: Array) -> None:
    """A name among the points of every class: the densest place that no other name is on."""
    (low, high), placed = axes.get_xlim(), np.empty((0, 3))
    for name, (colour, _) in zip(shown, LOOKS, strict=False):
        own, words = _densest_first(points[labels == name]), short(names[name])
        half = (len(words) + 1) * LETTER / 2
        apart = np.abs(own[:, None] - placed[None, :, :2]) / (high - low) * SIDE
        free = (apart[..., 0] > half + placed[:, 2]) | (apart[..., 1] > BOX)
        x, y = own[int(free.all(1).argmax())]
        placed = np.vstack([placed, (x, y, half)])
        axes.text(
            *(x, y, words),
            color=INK,
            fontsize=6.5,
            weight="bold",
            ha="center",
            va="center",
            parse_math=False,
            bbox={"facecolor": "white", "edgecolor": colour, "alpha": 0.85, "pad": 1.0},
        )


def _densest_first(points: Array) -> Array:
    """Points by how near the nearest quarter of them is: of a class in two parts first those of one."""
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    quarter = np.partition(distance, len(points) // 4, axis=1)[:, len(points) // 4]
    found: Array = points[np.argsort(quarter, kind="stable")]
    return found


def _name_components(axes: Axes, shares: Array) -> None:
    first, second = (f"{share:.1%}".replace("%", "\u00a0%") for share in shares.tolist())
    axes.set_xlabel(f"first component, {first} of the variance", labelpad=3.0)
    axes.set_ylabel(f"second component, {second}", labelpad=3.0)


def _legend(axes: Axes, shown: list[int], names: Array) -> None:
    handles = [
        Line2D([], [], color=colour, marker=mark, linestyle="", ms=4.0, label=short(names[name]))
        for name, (colour, mark) in zip(shown, LOOKS, strict=False)
    ]
    spacing: Any = {"handletextpad": 0.1, "columnspacing": 1.0, "borderaxespad": 0.0}
    legend = axes.legend(handles=handles, loc="center", ncols=len(handles), fontsize=6.5, **spacing)
    for text in legend.get_texts():
        text.set_parse_math(False)
    axes.set_axis_off()


def short(name: Any) -> str:
    """A class's name in the letters that there is room for."""
    return str(name) if len(str(name)) <= LETTERS else str(name)[: LETTERS - 1] + "…"


def _caption(arrays: Mapping[str, Array], unmarked: int) -> str:
    said = [
        "Both show features scaled to unit length, as the neighbours that judge them compare by cosine. PCA: the two "
        "directions of the greatest variance, in one scale; what lies apart here is apart, what lies together may differ in "
        "others.",
        f"Each map fills its frame however narrow the features are: their variance over all dimensions is {float(arrays['variance']):.2g}, of 1 at "
        "most and of 0 where all are the same.",
        f"t-SNE (perplexity {float(arrays['perplexity']):.3g}, begun from PCA, fixed seed) keeps near neighbours "
        "together: its axes have no meaning, nor have the sizes of its clusters and the distances between them, and it "
        "finds clusters in noise as well.",
    ]
    if not arrays["shares"].any():
        said = [
            "All features point the same way: the representation has collapsed to one point, and there is nothing to map."
        ]
    if "labels" in arrays:
        said.append("A name stands among the densest points of its class; training saw no labels.")
    if unmarked > 0:
        said.append(f"Grey: the other {unmarked} classes; those with a mark have the most images.")
    return " ".join(said)
