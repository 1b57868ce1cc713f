"""The reference's grids: latents with one coordinate shifted further and further."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from triptych.reporting.figures.sheet import Grid, Label, Tile, draw_sheet
from triptych.reporting.figures.style import GREY, INK, PAGE, Words
from triptych.reporting.words import setting
from triptych.runs import Run

__all__ = ["coordinate_grids"]

BLOCKS = 2
"""Grids side by side."""


def coordinate_grids(run: Run) -> Figure | None:
    """The same latents with one coordinate shifted further and further, beside a random direction."""
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
