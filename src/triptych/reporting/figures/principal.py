"""The figures of the pullback metric: its principal directions, and how many of them matter."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from triptych.reporting.figures.sheet import Grid, Label, Tile, draw_sheet
from triptych.reporting.figures.style import COLUMN, GREY, MEASURED, PAGE, TRAINED, Page, Words
from triptych.reporting.words import setting, signed, with_error
from triptych.runs import Run

__all__ = ["principal_directions", "principal_spectrum"]


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
        Label(j * steps + k, _offset(values[k]))
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


def _offset(value: float) -> str:
    return "0" if abs(value) < 0.05 else ("+" if value > 0 else "") + signed(value, 0)


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
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("principal directions, the largest eigenvalue first")
    axes.set_title("share of tr M")
    axes.legend(loc="upper right")
    return page.figure
