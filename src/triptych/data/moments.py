"""Mean and standard deviation of the channels: exactly, and in memory that does not grow with the images."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from triptych.data.places import cache_root
from triptych.errors import TriptychError
from triptych.files import read_text, write
from triptych.records import fit

__all__ = ["MEASURED", "Moments", "level_counts", "mean_and_deviation", "moments", "remembered"]

RECIPE = "1"
"""To be raised whenever the same images would give other moments: part of the name in the cache."""

MEASURED = 5000
"""Images, at least where there are as many, behind the moments: evenly spaced in the training split."""

CHUNK = 2**22
"""Bytes of pixels that are counted at once."""

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


def remembered(fingerprint: str, make: Callable[[], Moments]) -> Moments:
    """The moments of the images with this fingerprint, from the cache or made now and kept there.

    Images evenly spread over a large file lie on pages of their own: a disk that has not read them lately has to
    fetch nearly all of it, seconds for a million images.

    Example:
        >>> remembered("0f", lambda: Moments((0.5,), (0.25,))).std, remembered("0f", lambda: 1 / 0).mean
        ((0.25,), (0.5,))
    """
    path = cache_root() / "moments" / f"{fingerprint}-{RECIPE}.json"
    try:
        kept = json.loads(read_text(path))
        fit(kept, {"mean": [float], "std": [float], "notes": [str]}, "it")
        return Moments(*(tuple(kept[name]) for name in ("mean", "std", "notes")))
    except (FileNotFoundError, ValueError, RecursionError, TriptychError):
        pass  # Not there, or damaged: they can be made again.
    found = make()
    with suppress(OSError, TriptychError):  # A cache that others share may be theirs to write.
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, json.dumps(asdict(found)))
    return found


def level_counts(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """How often each channel of N×C×H×W images has each level, C×256: whatever else is said of levels follows exactly.

    Example:
        >>> level_counts(np.array([[[[0, 0, 255]]]], np.uint8))[0, [0, 255]].tolist()
        [2, 1]
    """
    counts = np.zeros((pixels.shape[1], 256), dtype=np.int64)
    rows = max(1, CHUNK // max(1, pixels[:1].nbytes))
    for start in range(0, len(pixels), rows):
        for channel, counted in enumerate(counts):
            counted += np.bincount(pixels[start : start + rows, channel].ravel(), minlength=256)
    return counts


def mean_and_deviation(counts: npt.NDArray[np.int64]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel, from its counts of levels, in the units of pixels in [0, 1].

    In whole numbers up to the root: nothing is lost where mean² and mean of squares are nearly equal, and a
    channel that never changes has a deviation of exactly 0.
    """
    levels = range(256)
    mean, deviation = [], []
    for of in counts.tolist():
        count = sum(of)
        total = sum(n * level for n, level in zip(of, levels, strict=True))
        squares = sum(n * level * level for n, level in zip(of, levels, strict=True))
        mean.append(total / count / 255)
        deviation.append(math.sqrt(count * squares - total * total) / count / 255)
    return mean, deviation


def moments(pixels: npt.NDArray[np.uint8]) -> Moments:
    """Mean and standard deviation of each channel of N×C×H×W levels, over images evenly spread.

    By a deviation of 0 nothing can be divided; nor by one that is 20 times smaller than that
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
    mean, deviation = mean_and_deviation(level_counts(pixels[::step]))
    channels = len(mean)
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
