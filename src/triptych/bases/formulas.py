"""Numbers in the formulas that methods tell of themselves."""

from __future__ import annotations

import numpy as np

__all__ = ["plain"]


def plain(value: float) -> str:
    """A number as a formula has it, without a power of ten.

    Example:
        >>> plain(10.0), plain(0.00001)
        ('10', '0.00001')
    """
    return np.format_float_positional(value, trim="-")
