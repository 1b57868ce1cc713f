"""How every figure looks and is saved: colours, type, and a page measured in millimetres.

Nothing here touches matplotlib's global state for longer than a figure takes,
and pyplot is never imported.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font

from triptych.files import write

__all__ = [
    *("COLUMN", "DPI", "GREY", "INK", "MEASURED", "PAGE", "TRAINED"),
    *("Page", "Words", "save", "styled", "wrapped"),
]

# Okabe and Ito's palette, distinct to every kind of colour vision.
MEASURED = "#0072B2"
TRAINED = "#D55E00"
INK = "#1a1a1a"
GREY = "#5c5c5c"

COLUMN, PAGE = 85.0, 170.0
"""Widths in mm of one column and of the text of an A4 page: figures are drawn at the size they are read."""

DPI = 200.0
MM_AN_INCH = 25.4

DROPPED, SETTING = "_drop_tables_default", ("GDEF", "GPOS", "GSUB", "MATH")
"""Where the library that cuts fonts keeps what it leaves out, and the tables that only who sets letters reads."""

FONT = "DejaVu Sans"
"""Comes with matplotlib, so it is everywhere."""

_STYLE: Any = {
    "font.family": FONT,
    "font.size": 7.0,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 7.0,
    "axes.titlepad": 4.0,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.5,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "figure.facecolor": "white",
    # TrueType, so that text in a PDF can be searched and edited, and journals accept it.
    "pdf.fonttype": 42,
    # Names inside an SVG are random otherwise.
    "svg.hashsalt": "triptych",
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save in this style, whatever the user's own matplotlib settings, which come back after."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


@contextmanager
def _lean_fonts() -> Iterator[None]:
    """Fonts go into a PDF without the tables by which letters are set: they are set already.

    To cut those tables down to the letters of a figure takes two thirds of the time that a font takes, and
    nothing reads them afterwards. Matplotlib has no option for it, so the default of the library that it asks
    is another while a PDF is written; where a later version has no such default, all is as it was.
    """
    # Matplotlib depends on it, and itself imports it only for a PDF.
    from fontTools.subset import Options  # type: ignore[import-untyped]

    kept = getattr(Options, DROPPED, None)
    if kept is None:
        yield
        return
    setattr(Options, DROPPED, [*kept, *SETTING])
    try:
        yield
    finally:
        setattr(Options, DROPPED, kept)


class Words(NamedTuple):
    """What a figure says in text: its title, the protocol below it, and a caption at the foot."""

    title: str
    protocol: str
    caption: str


class Page:
    """A figure with title, protocol and caption, and between them a body to place axes in.

    Lengths are in mm from the body's lower left corner; the axes' corners fall
    on whole pixels, so that an image's pixels can all be of one size.
    """

    def __init__(self, words: Words, width: float, body: float, dpi: float = DPI) -> None:
        protocol, caption = (wrapped(text, width) for text in (words.protocol, words.caption))
        self.foot = 2.7 * len(caption) + (2.5 if caption else 0.5)
        top = 6.0 + 3.2 * len(protocol)
        self.width, self.dpi = width, dpi
        self.height = math.ceil((self.foot + body + top) * dpi / MM_AN_INCH) / dpi * MM_AN_INCH
        size = (width / MM_AN_INCH, self.height / MM_AN_INCH)
        self.figure = Figure(figsize=size, dpi=dpi)
        self._write(0.8, words.title, 8.5, INK, weight="bold")
        self._write(5.2, "\n".join(protocol), 7.0, GREY)
        self._write(self.height - self.foot + 1.5, "\n".join(caption), 6.5, GREY)

    def _write(
        self, down: float, text: str, size: float, colour: str, weight: str = "normal"
    ) -> None:
        # Names come from folders and files: a $ in one is not mathematics.
        self.figure.text(
            *(0.8 / self.width, 1 - down / self.height, text),
            fontsize=size,
            color=colour,
            weight=weight,
            va="top",
            linespacing=1.15,
            parse_math=False,
        )

    def axes(self, left: float, bottom: float, width: float, height: float) -> Axes:
        """Axes at a place of the body."""
        corners = (left, bottom + self.foot, left + width, bottom + self.foot + height)
        x0, y0, x1, y1 = (round(mm * self.dpi / MM_AN_INCH) for mm in corners)
        across, up = (mm * self.dpi / MM_AN_INCH for mm in (self.width, self.height))
        return self.figure.add_axes((x0 / across, y0 / up, (x1 - x0) / across, (y1 - y0) / up))


def wrapped(text: str, width: float) -> list[str]:
    """Lines that fit: DejaVu Sans at 7 points runs to about 1.25 mm a character."""
    font = get_font(findfont(FONT))
    # A folder may be named in a script that the font lacks: better a box than a warning a letter.
    known = (c if font.get_char_index(ord(c)) else "□" for c in text)
    return textwrap.wrap("".join(known), int(width / 1.25))


def save(figure: Figure, path: Path, mark: str = "") -> Path:
    """Write a figure in one step, never half-written, and to the same bytes each time.

    A ``mark`` stands among the keywords of a PDF or SVG, for whoever asks what it was drawn from.
    """
    drawn = BytesIO()
    kind = path.suffix[1:]
    dates = {"pdf": "CreationDate", "svg": "Date"}
    words: dict[str, Any] = {"Keywords": mark} if mark else {}
    told = {dates[kind]: None, **words} if kind in dates else None
    with _lean_fonts() if kind == "pdf" else nullcontext():
        figure.savefig(drawn, format=kind, metadata=told)
    path.parent.mkdir(exist_ok=True)
    write(path, drawn.getvalue())
    return path
