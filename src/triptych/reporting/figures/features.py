"""The figures of features: a map of them in two dimensions, and images with their nearest neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from triptych.reporting.figures.sheet import Grid, Label, Tile, draw_sheet
from triptych.reporting.figures.style import INK, MEASURED, PAGE, PAPER, TRAINED, Page, Words
from triptych.reporting.words import setting, signed
from triptych.runs import Run

__all__ = ["LOOKS", "feature_map", "frequent", "neighbours"]

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
        f"A map of {len(labels):,}{_of(arrays, len(labels))} images by their features",
        setting(run, split, weights, seed=True),
        _map_caption(arrays, len(np.unique(labels)) - len(shown)),
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


def _of(arrays: Mapping[str, Array], count: int) -> str:
    """Of how many a map is, where it is not of all."""
    whole = int(arrays.get("of", np.array(count)))
    return f" of {whole:,}" if whole > count else ""


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
    """Write the name of every class at the densest place of its points that no other name covers."""
    (low, high), placed = axes.get_xlim(), np.empty((0, 3))
    for name, (colour, _) in zip(shown, LOOKS, strict=False):
        own, words = _densest_first(points[labels == name]), _short(names[name])
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
            bbox={"facecolor": PAPER, "edgecolor": colour, "alpha": 0.85, "pad": 1.0},
        )


def _densest_first(points: Array) -> Array:
    """Points sorted by the distance within which a quarter of the others lie: of a class in two parts, one part first."""
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
        Line2D([], [], color=colour, marker=mark, linestyle="", ms=4.0, label=_short(names[name]))
        for name, (colour, mark) in zip(shown, LOOKS, strict=False)
    ]
    spacing: Any = {"handletextpad": 0.1, "columnspacing": 1.0, "borderaxespad": 0.0}
    legend = axes.legend(handles=handles, loc="center", ncols=len(handles), fontsize=6.5, **spacing)
    for text in legend.get_texts():
        text.set_parse_math(False)
    axes.set_axis_off()


def _short(name: Any) -> str:
    """A class's name in the letters that there is room for."""
    return str(name) if len(str(name)) <= LETTERS else str(name)[: LETTERS - 1] + "…"


def _map_caption(arrays: Mapping[str, Array], unmarked: int) -> str:
    said = [
        "Both show features scaled to unit length, as neighbours are found by the cosine. PCA: the two "
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
        said.append(
            f"Grey: the other {unmarked} classes; those with a mark have the most images, of equals the first."
        )
    return " ".join(said)


STRIP = 0.19
"""Paper below a tile for its words, as a share of its width."""


def neighbours(run: Run) -> Figure | None:
    """Images, one a row, each followed by the training images whose features are nearest."""
    arrays = run.arrays("neighbours")
    if arrays is None:
        return None
    queries, images = arrays["queries"], arrays["images"]
    count, k = images.shape[:2]
    height, width = queries.shape[2:]
    strip = -(-width * STRIP // 1) if "labels" in arrays else 0
    grid = Grid((count, k + 1), (height + int(strip), width), column_gaps={1: 0.35})
    tiles = [Tile(row, 0, image) for row, image in enumerate(queries)]
    for row, place in np.ndindex(count, k):
        tiles.append(Tile(row, place + 1, images[row, place]))
    split, weights = (str(arrays[name]) for name in ("split", "checkpoint"))
    words = Words(
        f"Images and their {k} nearest training images",
        setting(run, split, weights, seed=True),
        _neighbours_caption(arrays),
    )
    columns = [Label(0, "image"), *(Label(i + 1, str(i + 1)) for i in range(k))]
    figure = draw_sheet(words, grid, tiles, PAGE, _rows(arrays), columns, margin=24.0)
    if "labels" in arrays:
        _mark_classes(figure.axes[0], grid, arrays, height)
    return figure


def _rows(arrays: Mapping[str, Array]) -> list[Label]:
    """What each query is, and the cosines of its nearest and farthest neighbour."""
    said = [
        f"cos {signed(row[0], 3)} … {signed(row[-1], 3)}" for row in arrays["similarity"].tolist()
    ]
    if "labels" in arrays:
        names = [_short(arrays["classes"][label]) for label in arrays["query_labels"]]
        said = [f"{name}\n{cosines}" for name, cosines in zip(names, said, strict=True)]
    return [Label(row, text.replace("$", r"\$")) for row, text in enumerate(said)]


def _mark_classes(axes: Axes, grid: Grid, arrays: Mapping[str, Array], height: int) -> None:
    """Below each neighbour a tick, or a cross, its class and a frame around it."""
    width, pad = grid.tile[1], grid.gap / 2
    for (row, place), label in np.ndenumerate(arrays["labels"]):
        top, left = grid.start(0, row), grid.start(1, place + 1)
        same = label == arrays["query_labels"][row]
        words = "✓" if same else f"✗ {_short(arrays['classes'][label])}"
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
