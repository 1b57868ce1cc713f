"""Weights as whole numbers of a few bits, packed without gaps and written in letters."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["BITS", "dequantised", "packed", "quantise", "text"]

BITS = range(8, 17)
"""Bits a weight may have. JavaScript shifts in 32 bits: with a byte waiting, 16 and 7 more are the most."""


def quantise(
    matrix: npt.NDArray[np.float32], bits: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Nearest multiples of one scale a row, symmetric about zero: w ≈ scale · level.

    Returns:
        Levels from −(2^(bits−1) − 1) to 2^(bits−1) − 1 in the matrix' shape, and a scale for each row.

    Example:
        >>> import numpy as np
        >>> quantise(np.array([[0.5, -1.0], [0.0, 0.0]], np.float32), 8)[0].tolist()
        [[64, -127], [0, 0]]
    """
    most = 2 ** (bits - 1) - 1
    scale = np.abs(matrix).max(1, initial=0) / np.float32(most)
    scale[scale == 0] = 1
    levels = np.rint(matrix / scale[:, None]).astype(np.int32)
    return levels, scale.astype(np.float32)


def dequantised(matrix: npt.NDArray[np.float32], bits: int) -> npt.NDArray[np.float32]:
    """The matrix that a reader of so many bits gets."""
    levels, scale = quantise(matrix, bits)
    return levels.astype(np.float32) * scale[:, None]


def packed(matrix: npt.NDArray[np.float32], bits: int) -> dict[str, Any]:
    """Levels row by row, the highest bit first, 2^(bits−1) − 1 added to make them positive; base64."""
    levels, scale = quantise(matrix, bits)
    positive = (levels + 2 ** (bits - 1) - 1).astype(">u2")
    each = np.unpackbits(positive.reshape(-1, 1).view(np.uint8), axis=1)[:, 16 - bits :]
    return {"bits": bits, "weight": text(np.packbits(each)), "scale": text(scale)}


def text(array: npt.NDArray[Any]) -> str:
    """Bytes of an array in base64, its numbers little-endian."""
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode()
