"""The figure of what a model draws: its classes, compared with those of the training data."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.colors import LinearSegmentedColormap, PowerNorm, to_rgb
from matplotlib.figure import Figure

from triptych.reporting.figures.style import INK, MEASURED, PAGE, TRAINED, Page, Words
from triptych.reporting.words import setting
from triptych.runs import Run

__all__ = ["class_histogram"]

Value = Mapping[str, Any]

MARKS = {
    "over": ("^", "over-represented"),
    "under": ("v", "under-represented"),
    "missing": ("x", "missing"),
}
"""What stands above a class that differs: shapes, as colours are not for everyone."""

SQUARE = 54.0
"""Millimetres of the confusion matrix."""

TITLE = 92
"""Characters of a title that a page has room for."""

NUMBERED = 12
"""Classes beyond which a confusion matrix has no room for numbers."""

NAMED = 20
"""Names that an axis has room for; of more classes only some are named."""

LETTER = 1.35
"""Millimetres of a letter in a class's name."""

FULL = 33.0
"""Per cent from which a cell has so much colour that it asks for black on a dark screen too."""

BAND, SKY = "#d4d4d4", "#56b4e9"
"""The second is Okabe and Ito's too; black type stands out from it."""


def class_histogram(run: Run) -> Figure | None:
    """Predicted shares of the samples against the expected ones, and the classifier's confusion."""
    result, arrays = run.results().get("samples/class_histogram"), run.arrays("class_histogram")
    if result is None or arrays is None:
        return None
    value, protocol = result["value"], result["protocol"]
    title = f"Classes of {result['n']:,} samples: {value['verdict']}"
    short = textwrap.shorten(title, TITLE, placeholder=" …")
    words = Words(
        short,
        setting(run, weights=protocol["checkpoint"]),
        _caption(value, protocol, full=short != title),
    )
    names = [textwrap.shorten(name, 14, placeholder="…") for name in value["classes"]]
    length = LETTER * max(map(len, names))
    upright = length > SQUARE / min(len(names), NAMED)
    below = 6.5 + (length if upright else 2.0)
    page = Page(words, PAGE, 64.0 + below)
    shares = page.axes(9.0, below, PAGE - 9.0 - SQUARE - 9.0 - length, 58.0)
    confusion = page.axes(PAGE - SQUARE - 1.0, below, SQUARE, SQUARE)
    _shares(shares, value)
    _confusion(confusion, arrays["confusion"], value["classifier_accuracy"])
    _name(shares.xaxis, names, upright)
    _name(confusion.xaxis, names, upright)
    _name(confusion.yaxis, names, upright=False)
    return page.figure


def _name(axis: XAxis | YAxis, names: list[str], upright: bool) -> None:
    every = -(-len(names) // NAMED)
    axis.set_ticks(range(0, len(names), every), names[::every], parse_math=False)
    axis.set_tick_params(length=0, rotation=90 if upright else 0)


def _caption(value: Value, protocol: Mapping[str, Any], full: bool) -> str:
    split, images = protocol["confusion"].split()
    said = [f"Verdict: {value['verdict']}."] if full else []
    said += [
        "Expected: the training shares as seen through the classifier's confusion, measured on "
        f"{int(images.strip('()')):,} {split} images. If the samples had the training shares, all "
        f"points would lie in their bands with probability {1 - protocol['alpha']:g} or more, in every "
        f"setting that was simulated (parametric bootstrap; p\u00a0=\u00a0{value['p']:.2g})."
    ]
    if "missing" in value["mark"]:
        said.append(f"Missing: an unmixed share below {protocol['missing']:g} of the training's.")
    said.append(
        "A class that is confused with one that differs moves with it. Unmixed shares are for display "
        "only. The confusion of real images may not transfer to blurry samples."
    )
    return " ".join(said)


def _shares(axes: Axes, value: Value) -> None:
    """For each class: left the share that the classifier saw and its band, right the unmixed share and the training's."""
    percent = {
        name: 100 * np.array(value[f"{name}_share"])
        for name in ("training", "expected", "predicted", "unmixed")
    }
    at = np.arange(len(value["classes"]))
    left, right = at - 0.18, at + 0.24
    reach = 100 * np.array(value["critical_z"]) * np.array(value["stderr"])
    low = percent["expected"] - reach
    axes.bar(left, 2 * reach, 0.4, low, color=BAND, label="band if none differs")
    ends = left - 0.2, left + 0.2
    axes.hlines(percent["expected"], *ends, colors=INK, linewidth=1.0, label="expected")
    look: Any = {"linestyle": "", "markeredgewidth": 0.6}
    axes.plot(
        left, percent["predicted"], marker="o", ms=3.8, color=MEASURED, label="samples", **look
    )
    ends = right - 0.14, right + 0.14
    axes.hlines(percent["training"], *ends, colors=TRAINED, linewidth=1.0, label="training images")
    face: Any = {"markerfacecolor": SKY, "markeredgecolor": MEASURED}
    axes.plot(
        right,
        percent["unmixed"],
        marker="D",
        ms=3.0,
        clip_on=False,
        label="samples, unmixed",
        **look,
        **face,
    )
    highest = np.max([*percent.values(), low + 2 * reach], axis=0)
    _marks(axes, value["mark"], highest + 0.04 * highest.max())
    axes.set_xlim(-0.6, len(at) - 0.4)
    # Room for the legend above the highest mark.
    axes.set_ylim(0, 1.32 * highest.max())
    axes.set_title("share of the images, %")
    # On paper of its own: the lines of the grid are not to run through words.
    box: Any = {"frameon": True, "framealpha": 1.0, "edgecolor": "none", "borderpad": 0.1}
    axes.legend(
        loc="upper left", ncols=3, borderaxespad=0.1, fontsize=6.5, columnspacing=1.2, **box
    )


def _marks(axes: Axes, marks: list[str], height: npt.NDArray[Any]) -> None:
    for name, (shape, word) in MARKS.items():
        found = [k for k, mark in enumerate(marks) if mark == name]
        if found:
            axes.plot(found, height[found], shape, ms=4.0, color=INK, label=word)


def _confusion(axes: Axes, counts: npt.NDArray[np.int64], accuracy: float) -> None:
    percent = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    # From nothing to all of a colour, so that what it lies on shows through.
    paper = LinearSegmentedColormap.from_list("paper", [(*to_rgb(SKY), 0.0), (*to_rgb(SKY), 1.0)])
    # The square root of the share: so that an error of one per cent can be seen.
    axes.imshow(percent, cmap=paper, norm=PowerNorm(0.5, 0, 100), aspect="auto")
    axes.grid(False)
    axes.set_title(f"classifier: {100 * accuracy:.1f}\u00a0% right; % of each true class")
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class", labelpad=1.0)
    if len(percent) > NUMBERED:
        return
    for (i, j), share in np.ndenumerate(percent):
        if share >= 0.05:
            # 99.6 % is not to read 100 where an error of 0.4 % is shown too.
            text = f"{share:.{0 if 9.95 <= share < 99 else 1}f}".replace("100.0", "100")
            colour = INK if share < FULL else "black"
            axes.text(j, i, text, ha="center", va="center", fontsize=6.0, color=colour)
