"""How every figure looks and is saved: colours, type, and a page measured in millimetres.

Nothing here touches matplotlib's global state for longer than a figure takes,
and pyplot is never imported.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, fontManager, get_font
from matplotlib.rcsetup import cycler
from matplotlib.transforms import Bbox

from triptych.files import write

__all__ = [
    *("COLUMN", "DPI", "GREY", "INK", "MEASURED", "PAGE", "PAPER", "TRAINED"),
    *("Drawing", "Page", "Words", "body_as_pdf", "body_as_svg", "save", "styled", "wrapped"),
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

FONT, WHOLE = "Triptych Sans", "DejaVu Sans"
"""Of most letters, and of those that it lacks. The first is cut out of the second by tools/fonts.py, since a PDF embeds
the letters that it has, and to cut them out of all is slow; the second comes with matplotlib, so it is everywhere."""

FAMILIES = f"'{WHOLE}', Verdana, sans-serif"
"""Of the text in an SVG, for where it is looked at: the second is nearly as wide as the first."""

PAPER = "#ffffff"
"""What a figure is drawn on. The page takes its own card for it."""

_STYLE: Any = {
    "font.family": [FONT, WHOLE],
    "font.size": 7.0,
    "text.color": INK,
    "axes.facecolor": "none",
    "axes.prop_cycle": cycler(color=[MEASURED]),
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
    "legend.facecolor": PAPER,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "figure.facecolor": PAPER,
    # TrueType, so that text in a PDF can be searched and edited, and journals accept it.
    "pdf.fonttype": 42,
    # Names inside an SVG are random otherwise; its text stays text, which can be edited and takes a quarter of the room.
    "svg.hashsalt": "triptych",
    "svg.fonttype": "none",
}


@cache
def _know_fonts() -> None:
    """Matplotlib finds a font by its name once it was told the file."""
    for path in sorted(Path(__file__).with_name("fonts").glob("*.ttf")):
        fontManager.addfont(path)


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save in this style, whatever the user's own matplotlib settings, which come back after."""
    _know_fonts()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


_STYLED, _FAMILY = re.compile(r' style="[^"]*"'), re.compile(f"'{FONT}'(, '{WHOLE}')?|'{WHOLE}'")


class Words(NamedTuple):
    """What a figure says in text: its title, the protocol below it, and a caption at the foot."""

    title: str
    protocol: str
    caption: str


class Drawing(Figure):
    """A figure that knows what it says, and where its body is, which is what a page or a paper shows with words of its own."""

    words = Words("", "", "")
    body = Bbox.unit()
    """In inches."""
    sheet = False
    """Whether it shows images and not numbers."""


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
        self.figure = Drawing(figsize=size, dpi=dpi)
        self.figure.words = words
        ends = np.array([[0, self.foot], [width, self.foot + body]]) / MM_AN_INCH
        self.figure.body = Bbox(ends)
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
    font = get_font(findfont(WHOLE))
    # A folder may be named in a script that the font lacks: better a box than a warning a letter.
    known = (c if font.get_char_index(ord(c)) else "□" for c in text)
    return textwrap.wrap("".join(known), int(width / 1.25))


def save(figure: Figure, path: Path) -> Path:
    """Write a whole figure in one step, never half-written, and to the same bytes each time."""
    path.parent.mkdir(exist_ok=True)
    write(path, _drawn(figure, path.suffix[1:], {}))
    return path


def body_as_pdf(figure: Drawing, mark: str) -> bytes:
    """The body of a figure, its words among what a PDF says of itself, with a ``mark`` for whoever asks what it was drawn from."""
    told = {**_told(figure, "Subject"), "Keywords": mark}
    with _body(figure):
        return _drawn(figure, "pdf", told, bbox_inches=figure.body)


def body_as_svg(figure: Drawing) -> str:
    """The same as SVG, its images with a pixel for a pixel."""
    images = [image for axes in figure.axes for image in axes.images]
    smoothed = [image.get_interpolation() for image in images]
    try:
        for image in images:
            image.set_interpolation("none")
        with _body(figure):
            told = _told(figure, "Description")
            drawn = _drawn(figure, "svg", told, bbox_inches=figure.body).decode()
        return _STYLED.sub(lambda found: _FAMILY.sub(FAMILIES, found[0]), drawn)
    finally:
        for image, how in zip(images, smoothed, strict=True):
            image.set_interpolation(how)


def _told(figure: Drawing, about: str) -> dict[str, Any]:
    title, protocol, caption = figure.words
    return {"Title": title, about: f"{protocol}. {caption}" if protocol else caption}


@contextmanager
def _body(figure: Figure) -> Iterator[None]:
    """Without what stands around the axes."""
    for text in figure.texts:
        text.set_visible(False)
    try:
        yield
    finally:
        for text in figure.texts:
            text.set_visible(True)


def _drawn(figure: Figure, kind: str, told: dict[str, Any], **how: Any) -> bytes:
    # The day on which it was drawn would be another each time.
    dates = {"pdf": "CreationDate", "svg": "Date"}
    about = {**told, dates[kind]: None} if kind in dates else None
    drawn = BytesIO()
    figure.savefig(drawn, format=kind, metadata=about, **how)
    return drawn.getvalue()
