"""The figure of images beside the training images whose features are nearest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from triptych.reporting.figures.feature_map import short
from triptych.reporting.figures.sheet import Grid, Label, Pixels, Tile, draw_sheet
from triptych.reporting.figures.style import MEASURED, PAGE, TRAINED, Words
from triptych.reporting.words import setting, signed
from triptych.runs import Run

__all__ = ["neighbours"]

Array = npt.NDArray[Any]

STRIP = 0.19
"""Paper below a tile for its words, as a share of its width."""


def neighbours(run: Run) -> Figure | None:
    """Images, one a row, and beside each the training images whose features are nearest."""
    arrays = run.arrays("neighbours")
    if arrays is None:
        return None
    queries, images = arrays["queries"], arrays["images"]
    count, k = images.shape[:2]
    height, width = queries.shape[2:]
    strip = -(-width * STRIP // 1) if "labels" in arrays else 0
    grid = Grid((count, k + 1), (height + int(strip), width), column_gaps={1: 0.35})
    tiles = [Tile(row, 0, _with_strip(image, int(strip))) for row, image in enumerate(queries)]
    for row, place in np.ndindex(count, k):
        tiles.append(Tile(row, place + 1, _with_strip(images[row, place], int(strip))))
    split, weights = (str(arrays[name]) for name in ("split", "checkpoint"))
    words = Words(
        f"Images and their {k} nearest training images",
        setting(run, split, weights, seed=True),
        _neighbours_caption(arrays),
    )
    columns = [Label(0, "image"), *(Label(i + 1, str(i + 1)) for i in range(k))]
    figure = draw_sheet(words, grid, tiles, PAGE, _rows(arrays), columns, margin=24.0)
    if "labels" in arrays:
        _judge(figure.axes[0], grid, arrays, height)
    return figure


def _with_strip(image: Pixels, strip: int) -> Pixels:
    """The image with paper below it."""
    return np.pad(image, ((0, 0), (0, strip), (0, 0)), constant_values=255)


def _rows(arrays: Mapping[str, Array]) -> list[Label]:
    """What each query is, and the cosines of its nearest and farthest neighbour."""
    said = [
        f"cos {signed(row[0], 3)} … {signed(row[-1], 3)}" for row in arrays["similarity"].tolist()
    ]
    if "labels" in arrays:
        names = [short(arrays["classes"][label]) for label in arrays["query_labels"]]
        said = [f"{name}\n{cosines}" for name, cosines in zip(names, said, strict=True)]
    return [Label(row, text.replace("$", r"\$")) for row, text in enumerate(said)]


def _judge(axes: Axes, grid: Grid, arrays: Mapping[str, Array], height: int) -> None:
    """Below each neighbour a tick, or a cross, its class and a frame around it."""
    width, pad = grid.tile[1], grid.gap / 2
    for (row, place), label in np.ndenumerate(arrays["labels"]):
        top, left = grid.start(0, row), grid.start(1, place + 1)
        same = label == arrays["query_labels"][row]
        words = "✓" if same else f"✗ {short(arrays['classes'][label])}"
        axes.text(
            *(left + (width - 1) / 2, top + height + grid.gap / 2, words),
            fontsize=5.5,
            color=MEASURED if same else TRAINED,
            ha="center",
            va="top",
            parse_math=False,
        )
        if not same:
            corner = (left - 0.5 - pad / 2, top - 0.5 - pad / 2)
            frame = Rectangle(corner, width + pad, height + pad, fill=False, lw=1.1, ec=TRAINED)
            axes.add_patch(frame).set_clip_on(False)


def _neighbours_caption(arrays: Mapping[str, Array]) -> str:
    said = [
        "The nearest by the cosine of the features, the nearest first; cos: that of the first and of the last. "
        "The images at the left are spread evenly, not chosen."
    ]
    if "labels" in arrays:
        right = int((arrays["labels"] == arrays["query_labels"][:, None]).sum())
        said.append(
            f"✗ and a frame: another class than the image's; {right} of {arrays['labels'].size} have the same. "
            "Training saw no labels."
        )
    if float(arrays["similarity"].min()) > 1 - 1e-4:
        said.append("All cosines are 1: these features hardly tell any images apart.")
    return " ".join(said)
