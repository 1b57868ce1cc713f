"""The figures made of images: reconstructions, samples, traversals, and interpolations with their scorecard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from triptych.reporting.figures.sheet import Grid, Label, Tile, draw_sheet
from triptych.reporting.figures.style import (
    COLUMN,
    GREY,
    INK,
    MEASURED,
    PAGE,
    PAPER,
    TRAINED,
    Page,
    Words,
)
from triptych.reporting.words import look, offset, setting
from triptych.runs import Run

__all__ = [
    "interpolation",
    "reconstructions",
    "sample_interpolation",
    "samples",
    "scorecard",
    "traversal",
]


def reconstructions(run: Run) -> Figure | None:
    """Up to 20 images above what the model makes of them."""
    arrays = run.arrays("reconstructions")
    if arrays is None:
        return None
    pairs = list(zip(arrays["originals"][:20], arrays["reconstructions"][:20], strict=True))
    columns = min(10, len(pairs))
    bands = -(-len(pairs) // columns)
    grid = Grid((2 * bands, columns), pairs[0][0].shape[1:], row_gaps=_gaps_around_pairs(bands))
    tiles = [
        Tile(2 * (i // columns) + row, i % columns, image)
        for i, pair in enumerate(pairs)
        for row, image in enumerate(pair)
    ]
    rows = [Label(row, name) for row, name in enumerate(("original", "reconstruction") * bands)]
    how = "encoded and decoded"
    if _of_a_likelihood(run):
        how = "encoded to the mean of q(z|x) and decoded to the mean of p(x|z)"
    words = Words(
        "Originals above their reconstructions",
        setting(run, *look(run)),
        f"Images spread evenly over the split, not chosen; each is {how}.",
    )
    return draw_sheet(words, grid, tiles, PAGE, rows=rows, margin=20.5)


def _of_a_likelihood(run: Run) -> bool:
    """Whether there is a q(z|x) and a p(x|z) to speak of."""
    return "HasLikelihood" in run.method().can


def samples(run: Run) -> Figure | None:
    """The first 64 samples, eight in a row."""
    arrays = run.arrays("samples")
    if arrays is None:
        return None
    images = arrays["images"][:64]
    columns = min(8, len(images))
    grid = Grid((-(-len(images) // columns), columns), images.shape[2:])
    tiles = [Tile(i // columns, i % columns, image) for i, image in enumerate(images)]
    shown = "; shown is the mean of p(x|z)" if _of_a_likelihood(run) else ""
    words = Words(
        "Samples",
        setting(run, weights=look(run)[1]),
        f"The first {len(images)} draws of z from the prior {_prior(run)}, not chosen{shown}.",
    )
    return draw_sheet(words, grid, tiles, COLUMN)


def _prior(run: Run) -> str:
    """What the prior of a run is called: by a measurement's protocol where the method has one of its own."""
    protocols = (result["protocol"] for result in run.results().values())
    return next((str(p["prior"]) for p in protocols if "prior" in p), "N(0, I)")


def traversal(run: Run) -> Figure | None:
    """One image while each of the most active coordinates moves through the prior."""
    arrays = run.arrays("traversal")
    if arrays is None:
        return None
    images = arrays["images"]
    grid = Grid(images.shape[:2], images.shape[3:])
    tiles = [Tile(i, j, images[i, j]) for i, j in np.ndindex(*images.shape[:2])]
    known = "kl" in arrays
    ranks = arrays["kl"] if known else arrays["spread"]
    rows = [
        Label(
            i, f"$z_{{{coordinate}}}$, {f'KL {rank:.2f} nats' if known else f'spread {rank:.2f}'}"
        )
        for i, (coordinate, rank) in enumerate(
            zip(arrays["coordinates"].tolist(), ranks.tolist(), strict=True)
        )
    ]
    columns = [Label(j, offset(value)) for j, value in enumerate(arrays["values"].tolist())]
    words = Words(
        "What the most active latent coordinates carry",
        setting(run, *look(run)),
        "Every row decodes the latent mean of the same image with one coordinate set to the value above; "
        + (
            "KL is the mean over the split of that coordinate's divergence from the prior."
            if known
            else "spread is the standard deviation over the split of that coordinate's mean."
        ),
    )
    heading = "value of the coordinate, in standard deviations of the prior"
    return draw_sheet(words, grid, tiles, PAGE, rows, columns, margin=24.0, heading=heading)


def interpolation(run: Run) -> Figure | None:
    """Pairs of images joined in latent space, above the same ends mixed in pixel space."""
    arrays = run.arrays("interpolation")
    if arrays is None:
        return None
    originals, ways = arrays["originals"], (arrays["latent"], arrays["pixel"])
    pairs, steps = ways[0].shape[:2]
    gaps = _gaps_around_pairs(pairs), {1: 0.8, steps + 1: 0.2}
    grid = Grid((2 * pairs, steps + 2), originals.shape[3:], *gaps)
    tiles = [
        Tile(2 * pair + row, step + 1, way[pair, step])
        for row, way in enumerate(ways)
        for pair, step in np.ndindex(pairs, steps)
    ]
    for pair, end in np.ndindex(pairs, 2):
        tiles.append(Tile(2 * pair + 0.5, end * (steps + 1), originals[pair, end]))
    rows = [Label(i, name, before=1) for i, name in enumerate(("latent", "pixel") * pairs)]
    columns = [Label(0, "original"), Label(steps + 1, "original")]
    columns += [Label(i + 1, f"{alpha:.2g}") for i, alpha in enumerate(arrays["alpha"].tolist())]
    words = Words(
        "From one image to another, in latent space and in pixel space",
        setting(run, *look(run)),
        "latent: decode((1−α) z₁ + α z₂); pixel: (1−α) decode(z₁) + α decode(z₂). Both rows begin and end "
        "in the same two reconstructions; the pairs are not chosen.",
    )
    return draw_sheet(words, grid, tiles, PAGE, rows, columns, heading="α")


def _gaps_around_pairs(count: int) -> dict[int, float]:
    """Wider gaps between pairs of rows."""
    return {2 * i: 0.2 for i in range(1, count)}


WAYS = ("linear", "spherical", "pixel")

SHOWN = 4
"""Pairs in the picture: more would make its tiles too small for a page."""

ROW = 14.0
"""Millimetres from one score to the next."""

_LOOKS: dict[str, dict[str, Any]] = {
    "linear": {"color": MEASURED, "marker": "o"},
    "spherical": {
        "color": MEASURED,
        "marker": "D",
        "markerfacecolor": PAPER,
        "linestyle": (0, (4, 2)),
    },
    "pixel": {"color": TRAINED, "marker": "s"},
}


def sample_interpolation(run: Run) -> Figure | None:
    """Pairs of samples joined by a straight line and an arc in latent space, and by mixing pixels."""
    arrays = run.arrays("sample_interpolation")
    if arrays is None:
        return None
    pairs, steps = min(SHOWN, len(arrays["linear"])), len(arrays["alpha"])
    gaps = {3 * pair: 0.25 for pair in range(1, pairs)}
    grid = Grid((3 * pairs, steps), arrays["linear"].shape[3:], row_gaps=gaps)
    tiles = [
        Tile(3 * pair + row, step, arrays[way][pair, step])
        for row, way in enumerate(WAYS)
        for pair, step in np.ndindex(pairs, steps)
    ]
    rows = [Label(row, way) for row, way in enumerate(WAYS * pairs)]
    columns = [Label(step, f"{alpha:.2g}") for step, alpha in enumerate(arrays["alpha"].tolist())]
    protocol = run.results().get("interpolation/latent_vs_pixel", {}).get("protocol", {})
    words = Words(
        "From one sample to another, in latent space and in pixel space",
        setting(run, weights=protocol.get("checkpoint", "")),
        "linear: G((1−α) z₁ + α z₂); spherical: G of the arc from z₁ to z₂; pixel: (1−α) G(z₁) + α G(z₂). "
        "All three begin and end in the same two samples; z₁ and z₂ are drawn from N(0, I), the pairs "
        "are not chosen.",
    )
    return draw_sheet(words, grid, tiles, PAGE, rows, columns, margin=14.0, heading="α")


def scorecard(run: Run) -> Figure | None:
    """Distance to the training images over α, and every score's paired difference with its interval."""
    result = run.results().get("interpolation/scorecard")
    if result is None:
        return None
    table, protocol = result["value"], result["protocol"]
    scores = list(dict.fromkeys(row["score"] for row in table["differences"]))
    words = Words(
        "Are interpolates in latent space better than overlays of two pictures?",
        setting(run, protocol["split"], protocol["checkpoint"]),
        _caption(table, protocol),
    )
    page = Page(words, PAGE, ROW * len(scores) + 8.0)
    _distances(page.axes(11.0, 9.0, 62.0, ROW * len(scores) - 19.0), table)
    for place, score in enumerate(scores):
        rows = [row for row in table["differences"] if row["score"] == score]
        bottom = 9.0 + ROW * (len(scores) - 1 - place)
        axes = page.axes(110.0, bottom, 35.0, ROW - 7.5)
        _differences(axes, rows, primary=place == 0)
    axes.set_xlabel("latent − pixel, mean of the pairs, 95 % interval")
    return page.figure


def _distances(axes: Axes, table: Mapping[str, Any]) -> None:
    curves = table["curves"]
    axes.axvspan(0.3, 0.7, color="#f0f0f0", linewidth=0, zorder=0)
    for way in reversed(WAYS):
        axes.plot(curves["alpha"], curves[way], label=way, markersize=3.0, **_LOOKS[way])
    for name, style in (("held-out images", ":"), ("held-out overlays", "-.")):
        if name in table["floor"]:
            level = table["floor"][name]["mean"]
            label = f"{name}, {level:.3g}"
            axes.axhline(level, color=INK, linestyle=style, linewidth=1.0, label=label)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("α (grey: where the primary score is taken)")
    axes.margins(y=0.1)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, borderaxespad=0.2)
    axes.set_title("feature distance to the nearest training image", pad=37.0)


def _differences(axes: Axes, rows: Sequence[Mapping[str, Any]], primary: bool) -> None:
    """The latent ways' differences from the pixel way, one above the other."""
    axes.grid(False)
    axes.axvline(0, color=GREY, linewidth=0.8)
    for place, row in enumerate(rows):
        half = (row["high"] - row["low"]) / 2
        look = {**_LOOKS[row["way"]], "linestyle": "none"}
        axes.errorbar(row["mean"], -place, xerr=half, markersize=3.5, elinewidth=1.0, **look)
        said = f"{row['way']}, {_p(row['p_adjusted'])}"
        weight = "bold" if primary and place == 0 else "normal"
        axes.annotate(
            *(said, (1.02, -place)),
            xycoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=6.0,
            weight=weight,
        )
    axes.set_ylim(-len(rows) + 0.4, 0.6)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.margins(x=0.15)
    unit = rows[0]["unit"] + (" (primary)" if primary else "")
    label = f"{rows[0]['score']}\n{unit}"
    axes.text(-0.04, 0.5, label, transform=axes.transAxes, ha="right", va="center", color=INK)


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def _caption(table: Mapping[str, Any], protocol: Mapping[str, Any]) -> str:
    said = [
        table["verdict"],
        f"{protocol['pairs']} disjoint pairs of latents; searched: {protocol['bank']}. Distances are those "
        "of features of unit length. Distance and entropy are means over α = 0.3 … 0.7; lengths and steps "
        "are those of the path of features over all α. The primary p (bold) is not corrected, all others "
        "are by Holm's method together.",
    ]
    if table["control"] is not None:
        said.append(
            "Held-out overlays, means over the same α, must lie above held-out images for the features to "
            "be of use."
        )
    said.append(
        "Near the training images is not yet good: a generator that repeats them is nearest of all."
    )
    return " ".join(said)
