"""Tables for those who have pandas, which nothing else here needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from triptych.errors import TriptychError

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["frame"]


def frame(rows: Sequence[Mapping[str, Any]], index: str) -> DataFrame:
    """Rows as a pandas frame; the column ``index`` becomes its index.

    Raises `TriptychError` where pandas is not installed.

    Example:
        >>> frame([{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}], "step").loss.mean()
        np.float64(0.375)
    """
    try:
        from pandas import DataFrame
    except ImportError:
        raise TriptychError("a frame needs pandas: pip install pandas") from None
    columns = dict.fromkeys(name for row in rows for name in row)
    return DataFrame(rows, columns=list(columns) or [index]).set_index(index)
