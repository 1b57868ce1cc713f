"""The figures of a latent space: what each coordinate does against random directions, and which directions matter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter

from triptych.reporting.figures.sheet import Grid, Label, Tile, draw_sheet
from triptych.reporting.figures.style import (
    COLUMN,
    GREY,
    INK,
    MEASURED,
    PAGE,
    TRAINED,
    Page,
    Words,
)
from triptych.reporting.words import offset, plain, setting, with_error
from triptych.runs import Run

__all__ = ["coordinate_grids", "coordinates", "principal_directions", "principal_spectrum"]

Values = npt.NDArray[Any]
Table = Mapping[str, Any]

RANKED = "movement@10"
ATTRIBUTES = ("brightness", "contrast", "stroke", "hue")
SPREAD = (0.05, 0.5, 0.95)


def coordinates(run: Run) -> Figure | None:
    """All coordinates at once against random directions: movement, where samples go, attributes."""
    arrays, result = run.arrays("coordinates"), run.results().get("latent/coordinates")
    if arrays is None or result is None:
        return None
    table, n = result["value"], len(arrays[f"random_{RANKED}"])
    words = Words(
        "What the latent coordinates do, against random directions",
        setting(run, weights=result["protocol"].get("checkpoint", "")),
        " ".join(table["sentences"])
        + f" Mean over {result['n']} latents, the same for all; {n} random unit directions. "
        + _classified_by(result["protocol"]),
    )
    page = Page(words, PAGE, 103.0)
    _movement(page.axes(20.0, 60.0, 60.0, 37.0), table, arrays[f"random_{RANKED}"])
    labelled = bool(table["destinations"])
    _over_shifts(page.axes(94.0, 60.0, 31.0, 37.0), table, arrays, "diversity")
    if labelled:
        _over_shifts(page.axes(137.0, 60.0, 31.0, 37.0), table, arrays, "share")
    _attributes(page.axes(20.0, 9.0, 60.0, 36.0), table)
    if labelled:
        _destinations(page.axes(94.0, 9.0, 74.0, 36.0), table, n)
    return page.figure


def _classified_by(protocol: Table) -> str:
    classifier = protocol.get("judge", "none")
    return (
        ""
        if classifier == "none"
        else f"Classes by {classifier}: so far from the training images it may be wrong."
    )


def _movement(axes: Axes, table: Table, random: Values) -> None:
    """The coordinates sorted by movement, over the band in which as many sorted random directions would lie."""
    from scipy.special import betaincinv

    order, values = table["order"], np.array(table["axes"][RANKED])
    count, special = len(order), table["comparison"][RANKED]["axes beyond chance"]
    rank = np.arange(1, count + 1)
    # The k-th largest of n draws lies at a quantile distributed as Beta(n − k + 1, k).
    low, high = (np.quantile(random, betaincinv(count - rank + 1, rank, q)) for q in (0.025, 0.975))
    label = "95 % of as many random directions"
    axes.fill_between(rank, low, high, color=GREY, alpha=0.3, linewidth=0, label=label)
    axes.plot(rank, values[order], ".", color=MEASURED, markersize=3.0, label="coordinates")
    beyond = [i for i, c in enumerate(order) if c in special]
    if beyond:
        chosen = values[order][beyond]
        axes.plot(rank[beyond], chosen, "o", color=TRAINED, markersize=4.0, label="beyond chance")
    for i, coordinate in enumerate(order[:3]):
        at = (rank[i], values[coordinate])
        place = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
        if i == 0 or abs(values[coordinate] - values[order[i - 1]]) > 0.06 * np.ptp(values):
            axes.annotate(str(coordinate), at, fontsize=6.0, **place)  # type: ignore[arg-type]
    axes.set_xlabel("coordinates, the one that moves the image most first")
    axes.set_title("RMS change of a pixel at ε = 10, pixels in [0, 1]")
    axes.legend(loc="upper right")


def _over_shifts(axes: Axes, table: Table, arrays: Mapping[str, Values], name: str) -> None:
    """Median and central 90 % of the axes and of the random directions at every ε."""
    shifts = [k.partition("@")[2] for k in table["axes"] if k.startswith(f"{name}@")]
    sides = (
        ("coordinates", MEASURED, -0.09, [table["axes"][f"{name}@{e}"] for e in shifts]),
        ("random", GREY, 0.09, [arrays[f"random_{name}@{e}"] for e in shifts]),
    )
    for label, colour, aside, values in sides:
        low, middle, high = np.quantile(np.array([np.asarray(v) for v in values]), SPREAD, axis=1)
        axes.errorbar(
            *(np.arange(len(shifts)) + aside, middle, (middle - low, high - middle)),
            color=colour,
            marker="o",
            markersize=2.5,
            linewidth=1.0,
            capsize=1.5,
            label=label,
        )
    axes.set_xticks(range(len(shifts)), shifts)
    axes.set_xlabel("ε; bars: central 90 %")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    # Room for the legend above what can be reached.
    axes.set_ylim(0, 1.4 * max(1.0, axes.get_ylim()[1]))
    axes.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0])
    titles = {"diversity": "diversity left", "share": "samples in one class"}
    axes.set_title(titles[name])
    axes.legend(loc="upper left")


def _attributes(axes: Axes, table: Table) -> None:
    """Each attribute's change along each axis, in deviations of the random directions."""
    names = [name for name in ATTRIBUTES if name in table["axes"]]
    for row, name in enumerate(names):
        random, found = table["random"][name], table["comparison"][name]
        z = np.array(found["z"])
        band = [
            (random[f"{q}% quantile"] - random["mean"]) / (random["std"] or 1.0)
            for q in ("2.5", "97.5")
        ]
        axes.fill_betweenx([row - 0.33, row + 0.33], *band, color=GREY, alpha=0.3, linewidth=0)
        # Golden-ratio heights: dots side by side, the same each time.
        height = row + 0.5 * (np.arange(len(z)) * 0.618034 % 1 - 0.5)
        axes.plot(z, height, ".", color=MEASURED, markersize=2.5)
        for coordinate in found["axes beyond chance"]:
            axes.plot(z[coordinate], height[coordinate], "o", color=TRAINED, markersize=4.0)
        for coordinate in found["axes beyond chance"][:2]:
            at = (z[coordinate], height[coordinate])
            axes.annotate(
                *(str(coordinate), at, (0, 3)),
                textcoords="offset points",
                fontsize=6.0,
                ha="center",
            )
    units = {"stroke": "px", "hue": "°"}
    spread = {n: plain(float(f"{table['random'][n]['std']:.2g}")) for n in names}
    labels = [f"{n}\nσ = {spread[n]} {units.get(n, '')}" for n in names]
    axes.set_yticks(range(len(names)), [label.rstrip() for label in labels])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x")
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("in σ of random directions; band: their central 95 %")
    axes.set_title("change of attributes at ε = 1")


def _destinations(axes: Axes, table: Table, random: int) -> None:
    """Which class samples have converged to at ε = 100, as a share of directions."""
    ends, last = table["destinations"], table["converged"]["100"]
    place = np.arange(len(ends))
    for aside, side, colour, count in (
        (-0.2, "axes", MEASURED, len(table["order"])),
        (0.2, "random", GREY, random),
    ):
        share = [end[side] / count for end in ends.values()]
        label = f"{'coordinates' if side == 'axes' else 'random directions'}: {last[side]:.0%}"
        axes.bar(place + aside, share, 0.36, color=colour, label=label)
    axes.set_xticks(place, [_short(name) for name in ends])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("class")
    axes.set_title("directions that converge to a class at ε = 100")
    axes.margins(y=0.3)
    axes.legend(loc="upper right", ncols=2)


def _short(name: str, most: int = 7) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


BLOCKS = 2
"""Grids side by side."""


def coordinate_grids(run: Run) -> Figure | None:
    """The same latents with one coordinate shifted further and further, and along a random direction."""
    arrays, result = run.arrays("coordinates"), run.results().get("latent/coordinates")
    if arrays is None or result is None:
        return None
    blocks = [*arrays["images"], arrays["random_images"]]
    names = [f"coordinate {c}" for c in arrays["coordinates"].tolist()] + ["a random direction"]
    high, wide = blocks[0].shape[:2]
    bands = -(-len(blocks) // BLOCKS)
    columns = min(BLOCKS, len(blocks)) * wide
    gaps = {high * i: 0.75 for i in range(1, bands)}, {wide: 0.4} if columns > wide else {}
    grid = Grid((high * bands, columns), blocks[0].shape[3:], *gaps)
    tiles, rows = [], []
    for number, block in enumerate(blocks):
        top, left = number // BLOCKS * high, number % BLOCKS * wide
        tiles += [Tile(top + i, left + j, block[i, j]) for i, j in np.ndindex(high, wide)]
        if left == 0:
            rows += [Label(top + i, f"ε = {e:g}") for i, e in enumerate(arrays["shifts"].tolist())]
    words = Words(
        "One latent coordinate shifted by ε, and a random direction for comparison",
        setting(run, weights=result["protocol"].get("checkpoint", "")),
        f"Every column is one of the first {wide} latents, the same in all grids; a row adds ε to one "
        "coordinate (numbered from 0), or ε times a random unit vector. ε is in standard deviations of the "
        "prior: the model draws no coordinate beyond about 4.",
    )
    heads = [Label(i % BLOCKS * wide + (wide - 1) / 2, name) for i, name in enumerate(names)]
    figure = draw_sheet(words, grid, tiles, PAGE, rows, heads[:BLOCKS], margin=14.0)
    _frame(figure.axes[0], grid, tiles)
    for number, (middle, name, _) in enumerate(heads[BLOCKS:], BLOCKS):
        above = grid.start(0, number // BLOCKS * high) - grid.gap - 0.5
        across = grid.start(1, middle) + (grid.tile[1] - 1) / 2
        figure.axes[0].text(across, above, name, ha="center", va="bottom", color=INK)
    return figure


def _frame(axes: Axes, grid: Grid, tiles: list[Tile]) -> None:
    """A hairline around every tile: at a large ε an image may be as white as the paper."""
    high, wide = grid.tile
    corners = [(grid.start(1, tile.column) - 0.5, grid.start(0, tile.row) - 0.5) for tile in tiles]
    frames = [Rectangle(corner, wide, high) for corner in corners]
    style: dict[str, Any] = {"facecolor": "none", "edgecolor": GREY, "linewidth": 0.2}
    axes.add_collection(PatchCollection(frames, clip_on=False, **style), autolim=False)


def principal_directions(run: Run) -> Figure | None:
    """A few samples while each of the first principal directions is traversed."""
    arrays, results = run.arrays("principal"), run.results()
    if arrays is None or "latent/principal_spectrum" not in results:
        return None
    images, values = arrays["images"], arrays["values"].tolist()
    spectrum = results["latent/principal_spectrum"]
    eigenvalues = np.array(spectrum["value"]["eigenvalues"])
    count, latents, steps = images.shape[:3]
    grid = Grid(
        (count, latents * steps),
        images.shape[4:],
        column_gaps={i * steps: 0.35 for i in range(1, latents)},
    )
    tiles = [Tile(i, j * steps + k, images[i, j, k]) for i, j, k in np.ndindex(*images.shape[:3])]
    share = eigenvalues / max(eigenvalues.sum(), np.finfo(float).tiny)
    rows = [Label(i, f"{i + 1}: {share[i]:.1%}") for i in range(count)]
    shown = {0, steps // 2, steps - 1}
    columns = [
        Label(j * steps + k, offset(values[k], 0))
        for j in range(latents)
        for k in range(steps)
        if k in shown
    ]
    words = Words(
        "The latent directions that move the image most",
        setting(run, weights=spectrum["protocol"].get("checkpoint", "")),
        f"Principal directions of M = E[JᵀJ], J the Jacobian of the sample ({spectrum['protocol']['output']}), "
        f"over {spectrum['n']} latents, each with its share of tr M; {latents} latents, the first of "
        f"the sample grid. {' '.join(spectrum['value']['sentences'])}",
    )
    heading = "component along the direction, in standard deviations of the prior"
    return draw_sheet(words, grid, tiles, PAGE, rows, columns, margin=13.0, heading=heading)


def principal_spectrum(run: Run) -> Figure | None:
    """Eigenvalues of the pullback metric, and the effective dimension that they amount to."""
    results = run.results()
    spectrum = results.get("latent/principal_spectrum")
    dimension = results.get("latent/effective_dimension")
    if spectrum is None or dimension is None:
        return None
    values = np.array(spectrum["value"]["eigenvalues"])
    share = values / max(values.sum(), np.finfo(float).tiny)
    words = Words(
        "In how many latent directions the image moves",
        setting(run, weights=spectrum["protocol"].get("checkpoint", "")),
        f"M = E[JᵀJ] over {spectrum['n']} latents, output space {spectrum['protocol']['output']}. Effective "
        "dimension (tr M)² / tr M², its error by the jackknife over latents.",
    )
    page = Page(words, COLUMN, 52.0)
    axes = page.axes(11.0, 9.0, 70.0, 38.0)
    edges = np.arange(len(values) + 1) + 0.5
    axes.stairs(share, edges, fill=True, color=MEASURED)
    axes.axhline(1 / len(values), color=GREY, linestyle=":", linewidth=1.0, label="all equal")
    label = f"effective dimension {with_error(dimension['value'], dimension['stderr'])}"
    axes.axvline(dimension["value"], ymax=0.72, color=TRAINED, linestyle="--", label=label)
    axes.set_xlim(edges[0], edges[-1])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("principal directions, the largest eigenvalue first")
    axes.set_title("share of tr M")
    axes.legend(loc="upper right")
    return page.figure
