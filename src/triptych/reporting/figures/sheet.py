"""Sheets of many small images as one picture, every pixel of theirs the same whole number of pixels wide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from triptych.reporting.figures.style import DPI, GREY, INK, MM_AN_INCH, Page, Words

__all__ = ["Grid", "Label", "Pixels", "Tile", "draw_sheet"]

Pixels = npt.NDArray[np.uint8]

EDGE = 0.8
"""Millimetres of paper left and right of a sheet."""

TALLEST = 200.0
"""Millimetres that a sheet may be high, to stay on an A4 page with its text."""


class Tile(NamedTuple):
    """An image C×H×W of bytes and its place; half a row lies midway between two."""

    row: float
    column: float
    image: Pixels


class Label(NamedTuple):
    """Text above a column, or in a row to the left of the column ``before``."""

    at: float
    text: str
    before: int = 0


@dataclass(frozen=True)
class Grid:
    """Rows × columns of tiles height × width pixels, in which an image may leave room below it.

    Gaps are narrow, and wider by a share of the tile before the rows and columns that have one.
    """

    shape: tuple[int, int]
    tile: tuple[int, int]
    row_gaps: Mapping[int, float] = field(default_factory=dict)
    column_gaps: Mapping[int, float] = field(default_factory=dict)

    @property
    def gap(self) -> int:
        """Pixels between two tiles that have no wider gap between them."""
        return max(1, min(self.tile) // 12)

    def starts(self, axis: int) -> list[int]:
        """The first pixel of every row (axis 0) or column (axis 1)."""
        size, wider = self.tile[axis], (self.row_gaps, self.column_gaps)[axis]
        steps = [
            size + self.gap + round(wider.get(i, 0) * size) for i in range(1, self.shape[axis])
        ]
        return [0, *np.cumsum(steps, dtype=int).tolist()]

    def start(self, axis: int, at: float) -> int:
        """The first pixel of a row or column, whole or half."""
        starts = self.starts(axis)
        return round(float(np.interp(at, range(len(starts)), starts)))

    def extent(self, axis: int) -> int:
        """Pixels from the first tile's beginning to the last one's end."""
        return self.starts(axis)[-1] + self.tile[axis]

    def paste(self, tiles: Iterable[Tile]) -> Pixels:
        """All tiles, and nothing between them, H×W×4: what they lie on shows through."""
        canvas = np.full((self.extent(0), self.extent(1), 4), 255, np.uint8)
        canvas[..., 3] = 0
        for row, column, image in tiles:
            top, left = self.start(0, row), self.start(1, column)
            place = canvas[top : top + image.shape[1], left : left + image.shape[2]]
            # One channel is broadcast to three equal ones.
            place[..., :3] = image.transpose(1, 2, 0)
            place[..., 3] = 255
        return canvas


def draw_sheet(
    words: Words,
    grid: Grid,
    tiles: Iterable[Tile],
    width: float,
    rows: Sequence[Label] = (),
    columns: Sequence[Label] = (),
    margin: float = EDGE,
    heading: str = "",
) -> Figure:
    """A figure ``width`` mm wide, with ``margin`` mm at the left for the labels of rows."""
    canvas = grid.paste(tiles)
    high, wide = canvas.shape[:2]
    across = min(width - margin - EDGE, TALLEST * wide / high)
    # The resolution nearest to the usual one at which a pixel is a whole number of pixels.
    dpi = max(1, round(DPI * across / MM_AN_INCH / wide)) * wide / across * MM_AN_INCH
    above = 3.0 * bool(columns) + 3.5 * bool(heading)
    page = Page(words, width, across * high / wide + above + 1.0, dpi)
    axes = page.axes(margin, 1.0, across, across * high / wide)
    axes.imshow(canvas, interpolation="nearest", aspect="auto")
    _label(axes, grid, rows, columns)
    page.figure.sheet = True
    if heading:
        axes.set_xlabel(heading, color=GREY, labelpad=3.0)
        axes.xaxis.set_label_position("top")
    return page.figure


def _label(axes: Axes, grid: Grid, rows: Sequence[Label], columns: Sequence[Label]) -> None:
    def middle(axis: int, at: float) -> float:
        return grid.start(axis, at) + (grid.tile[axis] - 1) / 2

    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.xaxis.tick_top()
    axes.set_xticks([middle(1, label.at) for label in columns], [label.text for label in columns])
    axes.set_yticks([])
    axes.tick_params(length=0, pad=2)
    for label in rows:
        left = grid.start(1, label.before) - grid.gap - 0.5
        axes.text(left, middle(0, label.at), label.text, ha="right", va="center", color=INK)
