"""How every line of a curve looks, in a chart of the page and in a figure alike: one colour and one dash for one meaning.

The style sheet of the page has the same table; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["ARMS", "BESIDE", "LEVEL", "LOOKS", "MEASURED", "OVERLAID", "SPLITS", "Look"]


class Look(NamedTuple):
    """Colour on white and on black, and lengths of dashes and gaps in widths of the line; none of one without gaps."""

    light: str
    dark: str
    dash: tuple[float, ...] = ()


# Okabe and Ito's hues, distinct to every kind of colour vision; the pale ones of theirs are darker here, for thin lines.
LOOKS = (
    Look("#d55e00", "#f0a05a"),
    Look("#0072b2", "#6cb8ec", (4.0, 2.0)),
    Look("#00815d", "#5ccfa5", (6.0, 1.5, 1.5, 1.5)),
    Look("#7a4a86", "#cf9ddb", (1.5, 1.5)),
    Look("#7d5c00", "#d9c25a", (2.5, 1.5, 2.5, 4.5)),
    Look("#1a1a1a", "#ecebe8", (7.0, 2.5)),
    Look("#5c5c5c", "#b3b1ac", (1.0, 2.5)),
    Look("#7a4a86", "#cf9ddb"),
    Look("#1a1a1a", "#ecebe8", (1.5, 3.0)),
)
"""The looks of lines, by their number."""

SPLITS: Mapping[str, int] = {"train": 0, "valid": 1, "test": 2}
"""Split → the look of what is logged of it."""

MEASURED, BESIDE, OVERLAID = 7, 4, 8
"""The looks of what belongs to no split, of a second such line in the same axes, and of somebody else's curve."""

ARMS = 7
"""Looks that arms of a study have, from the first on; no two have the same dash."""

LEVEL = Look("#5c5c5c", "#b3b1ac", (4.0, 3.0))
"""A level that needs no training, across the whole of the axes."""
