"""Sheets of many small images as one picture, every pixel of theirs the same whole number of pixels wide."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from triptych.report.style import DPI, GREY, MM_AN_INCH, Page, Words

__all__ = ["Grid", "Label", "Pixels", "Tile", "draw_sheet"]

Pixels = npt.NDArray[np.uint8]

TALLEST = 200.0
"""Millimetres that a sheet may be high, to stay on an A4 page with its text."""


class Tile(NamedTuple):
    """An image C×H×W of bytes and its place; half a row lies midway between two."""

    row: float
    column: float
    image: Pixels


class Label(NamedTuple):
    """Text beside a row or above a column."""

    at: float
    text: str


@dataclass(frozen=True)
class Grid:
    """Rows × columns of tiles height × width pixels, and before which of them the gap is wide."""

    shape: tuple[int, int]
    tile: tuple[int, int]
    row_breaks: Sequence[int] = ()
    column_breaks: Sequence[int] = ()

    def starts(self, axis: int) -> list[int]:
        """The first pixel of every row (axis 0) or column (axis 1), and where the next would begin."""
        gap = max(1, min(self.tile) // 12)
        breaks = (self.row_breaks, self.column_breaks)[axis]
        steps = [self.tile[axis] + gap * (4 if i in breaks else 1) for i in range(1, self.shape[axis])]
        return [0, *np.cumsum(steps, dtype=int).tolist()]

    def start(self, axis: int, at: float) -> int:
        """The first pixel of a row or column, whole or half."""
        starts = self.starts(axis)
        return round(float(np.interp(at, range(len(starts)), starts)))

    def extent(self, axis: int) -> int:
        """Pixels from the first tile's beginning to the last one's end."""
        return self.starts(axis)[-1] + self.tile[axis]

    def paste(self, tiles: Iterable[Tile]) -> Pixels:
        """All tiles on white paper, H×W×3."""
        canvas = np.full((self.extent(0), self.extent(1), 3), 255, np.uint8)
        height, width = self.tile
        for row, column, image in tiles:
            top, left = self.start(0, row), self.start(1, column)
            # One channel is broadcast to three equal ones.
            canvas[top : top + height, left : left + width] = image.transpose(1, 2, 0)
        return canvas


def draw_sheet(
    words: Words,
    grid: Grid,
    tiles: Iterable[Tile],
    width: float,
    rows: Sequence[Label] = (),
    columns: Sequence[Label] = (),
    margin: float = 0.8,
    heading: str = "",
) -> Figure:
    """A figure ``width`` mm wide with labelled rows (``margin`` mm for their text) and columns."""
    canvas = grid.paste(tiles)
    high, wide = canvas.shape[:2]
    room = (width - margin - 0.8) / MM_AN_INCH
    inches = min(room, TALLEST / MM_AN_INCH * wide / high)
    dpi = max(1, round(DPI * inches / wide)) * wide / inches
    sheet_width, sheet_height = inches * MM_AN_INCH, inches * MM_AN_INCH * high / wide
    above = 3.0 * bool(columns) + 3.5 * bool(heading)
    page = Page(words, width, sheet_height + above + 1.0, dpi)
    axes = page.axes(margin, 1.0, sheet_width, sheet_height)
    axes.imshow(canvas, interpolation="nearest", aspect="auto")
    _label(axes, grid, rows, columns)
    if heading:
        axes.set_xlabel(heading, color=GREY, labelpad=3.0)
        axes.xaxis.set_label_position("top")
    return page.figure


def _label(axes: Axes, grid: Grid, rows: Sequence[Label], columns: Sequence[Label]) -> None:
    def middles(axis: int, labels: Sequence[Label]) -> list[float]:
        return [grid.start(axis, label.at) + (grid.tile[axis] - 1) / 2 for label in labels]

    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.xaxis.tick_top()
    axes.set_xticks(middles(1, columns), [label.text for label in columns])
    axes.set_yticks(middles(0, rows), [label.text for label in rows])
    axes.tick_params(length=0, pad=2)
