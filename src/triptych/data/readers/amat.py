"""`.amat`, Larochelle's binarized MNIST: one image a line, pixels 0 or 1 between spaces."""

from __future__ import annotations

from math import isqrt
from pathlib import Path

import numpy as np

from triptych.data.images import Decoder
from triptych.data.picture import Pixels
from triptych.data.readers.part import Part, check_memory, damaged

__all__ = ["read"]

LONGEST = 10_000_000
"""Characters of a line at most: two a pixel."""

KIND = "a binarized .amat file (lines of 0 and 1 separated by single spaces)"


def read(split: str, files: tuple[Path, ...], decoder: Decoder) -> Part:
    """Square images without labels, their pixels 0 or 255."""
    (path,) = files
    bits = _bits(path)
    side = isqrt(bits.shape[1])
    if side * side != bits.shape[1]:
        raise damaged(path, KIND, f"{bits.shape[1]} numbers a line do not make a square image")
    images = (bits * np.uint8(255)).reshape(-1, side, side, 1)
    return Part(len(images), decoder.array(images))


def _bits(path: Path) -> Pixels:
    """0 and 1 as N×D: every second byte of a line is a digit, the others are separators."""
    with path.open("rb") as file:
        if b"\n" not in (first := file.read(LONGEST)) and len(first) == LONGEST:
            raise damaged(path, KIND, f"its first {LONGEST:,} characters have no end of a line")
    # The text, its digits, and the levels that they are.
    check_memory(path, 2 * path.stat().st_size, "takes")
    text = np.fromfile(path, dtype=np.uint8)
    if not text.size:
        raise damaged(path, KIND, "it is empty")
    ends = np.flatnonzero(text == ord("\n"))
    if text[-1] != ord("\n"):
        raise damaged(path, KIND, f"line {len(ends) + 1} does not end")
    lengths = np.diff(ends, prepend=-1)
    odd = np.flatnonzero(lengths != lengths[0])
    if odd.size or lengths[0] % 2:
        line = int(odd[0]) if odd.size else 0
        due = f"where line 1 has {lengths[0] // 2}" if odd.size else "and a character too many"
        raise damaged(path, KIND, f"line {line + 1} has {lengths[line] // 2} numbers {due}")
    lines = text.reshape(-1, int(lengths[0]))
    bits = lines[:, ::2] - np.uint8(ord("0"))
    _refuse(path, lines[:, ::2], bits > 1, first=1)
    _refuse(path, lines[:, 1:-1:2], lines[:, 1:-1:2] != ord(" "), first=2)
    return bits


def _refuse(path: Path, characters: Pixels, wrong: np.ndarray, first: int) -> None:
    """Raise if any character is wrong, and say where the first one stands."""
    if wrong.any():
        line, place = divmod(int(wrong.argmax()), wrong.shape[1])
        found = chr(characters[line, place])
        where = f"line {line + 1}, character {2 * place + first}"
        raise damaged(path, KIND, f"{found!r} at {where}")
