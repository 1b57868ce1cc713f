"""Mean and standard deviation of the channels: exactly, and in memory that does not grow with the images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["MEASURED", "Moments", "moments"]

MEASURED = 5000
"""Images, at least where there are as many, behind the moments: evenly spaced in the training split."""

CHUNK = 2**22
"""Bytes of pixels that are summed at once."""

FAINT = 20
"""How many times the largest deviation of a channel exceeds that of one that is not divided by its own."""


@dataclass(frozen=True)
class Moments:
    """What centres and scales each channel, in the units of pixels in [0, 1].

    ``std`` is 1 for a channel that is not to be divided by its deviation; ``notes`` say which and why.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    notes: tuple[str, ...] = ()


def moments(pixels: npt.NDArray[np.uint8]) -> Moments:
    """Mean and standard deviation of each channel of N×C×H×W levels, over images evenly spread.

    Sums of levels and of their squares are whole numbers, so a channel that never changes has a deviation
    of exactly 0. By such a one nothing can be divided; nor by one that is 20 times smaller than that
    of another channel: noise of a level or two would count as much as what the images show, and a
    change of brightness, which views of an image have, many times more.

    Example:
        >>> flat = np.full((2, 1, 4, 4), 128, np.uint8)
        >>> shown = np.tile(np.array([0, 255], np.uint8), 16).reshape(2, 1, 4, 4)
        >>> found = moments(np.concatenate([shown, flat], 1))
        >>> found.mean, found.std
        ((0.5, 0.501961), (0.5, 1.0))
        >>> found.notes
        ('channel 2 of 2 is 128 everywhere in the training images: it is centred, and not divided by a deviation of 0',)
    """
    step = max(1, len(pixels) // MEASURED)
    chosen = pixels[::step]
    channels = chosen.shape[1]
    total, squares = [0] * channels, [0] * channels
    rows = max(1, CHUNK // max(1, chosen[:1].nbytes))
    for start in range(0, len(chosen), rows):
        part = chosen[start : start + rows]
        # The square of a level fits into 16 bits.
        part_squares = np.square(part, dtype=np.uint16).sum((0, 2, 3), dtype=np.int64)
        for channel, (a, b) in enumerate(
            zip(part.sum((0, 2, 3), dtype=np.int64).tolist(), part_squares.tolist(), strict=True)
        ):
            total[channel] += a
            squares[channel] += b
    count = chosen.size // channels
    # In whole numbers up to the root: nothing is lost where mean² and mean of squares are nearly equal.
    deviation = [
        math.sqrt(count * q - s * s) / count / 255 for s, q in zip(total, squares, strict=True)
    ]
    mean = [s / count / 255 for s in total]
    faint = [d == 0 or d * FAINT < max(deviation) for d in deviation]
    notes = [
        _note(channel, channels, mean[channel], deviation[channel])
        for channel in range(channels)
        if faint[channel]
    ]
    # Six digits are read and written alike.
    std = [1.0 if f else round(d, 6) or d for d, f in zip(deviation, faint, strict=True)]
    return Moments(tuple(round(m, 6) for m in mean), tuple(std), tuple(notes))


def _note(channel: int, channels: int, mean: float, deviation: float) -> str:
    where = f"channel {channel + 1} of {channels}"
    if deviation == 0:
        return (
            f"{where} is {round(255 * mean)} everywhere in the training images: it is centred, "
            "and not divided by a deviation of 0"
        )
    return (
        f"{where} hardly changes (deviation {255 * deviation:.2g} of 255 levels, and more than {FAINT} times "
        "that in another): it is centred, and not divided by its deviation"
    )
