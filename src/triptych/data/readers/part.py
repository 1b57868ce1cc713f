"""What every reader gives: one split, its pixels read block by block."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from triptych import cgroups
from triptych.data.images import Decoder
from triptych.data.picture import Pixels
from triptych.errors import TriptychError

__all__ = [
    "SPLITS",
    "Meanings",
    "Part",
    "Read",
    "check_labels",
    "check_memory",
    "check_unpacked",
    "damaged",
    "foreign",
    "lacking",
    "most_unpacked",
]

SPLITS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("valid", "val", "validation", "dev", "development"), "valid"),
    **dict.fromkeys(("eval", "evaluation"), "valid"),
    **dict.fromkeys(("test", "testing", "tst", "t10k"), "test"),
}
"""The names that files and folders give to a split (in lower case), and ours."""


@dataclass(frozen=True)
class Part:
    """One split as its files hold it: `count` images in `blocks` of k×C×H×W, read when asked for.

    Labels are int64, one for each image and none below 0; `classes` names them, counted from 0, where
    the files do. `white` is the whole number that was read as white, where there was a choice (1 or
    255). `notes` say, a sentence each, what the reader took where there was a choice, and what it left.
    """

    count: int
    blocks: Iterator[Pixels]
    labels: npt.NDArray[np.int64] | None = None
    classes: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    white: int | None = None


Read: TypeAlias = Callable[[str, tuple[Path, ...], Decoder], Part]
"""``read(split, files, decoder)`` opens the files of one split and decodes with the decoder."""

Meanings: TypeAlias = Callable[[npt.NDArray[np.int64]], tuple[npt.NDArray[np.int64], str | None]]
"""What the values that occur as labels, over all splits and ascending, mean in a format; a note if it is not what they say."""

# Deflate, of ZIP and gzip, makes 1,032 bytes of one at the most.
DEFLATE = 1032
SUSPICIOUS_RATIO = 500
SUSPICIOUS_BYTES = 256_000_000


def damaged(path: Path, kind: str, why: object) -> TriptychError:
    """The error for a file that is cut short or is not what it should be."""
    return TriptychError(
        f"{path} is damaged, cut short or not {kind} ({why}); download or copy it again"
    )


def lacking(path: Path, why: MemoryError) -> TriptychError:
    """The error for a file that wants more memory than there is: it may be large, or damaged and only say that it is."""
    told = " ".join(str(why).split())[:200] or "how much, it was not said"
    return TriptychError(
        f"{path} asks for more memory than there is ({told}); free some, or, if it is no file of that size, "
        "download or copy it again: it may be damaged"
    )


@contextmanager
def foreign(path: Path, kind: str) -> Iterator[None]:
    """A boundary around a parser that is not ours: whatever it raises, the file is not what it should be.

    Damaged files make NumPy's, the ZIP archive's and gzip's parsers raise some twenty kinds of error, and
    the next release others; that the file cannot be opened at all (the error has a file name) is let through.
    """
    try:
        yield
    except TriptychError:
        raise
    except Exception as why:
        if isinstance(why, MemoryError):
            raise lacking(path, why) from why
        if isinstance(why, OSError) and why.filename is not None:
            raise
        told = " ".join(str(why).split())[:200] or type(why).__name__
        raise damaged(path, kind, told) from why


def check_unpacked(path: Path, packed: int, unpacked: int, kind: str) -> None:
    """Refuse, before a byte is unpacked, what cannot be in a file, or cannot be held in memory."""
    if unpacked > DEFLATE * (packed + 64):
        why = f"{packed:,} bytes cannot hold the {unpacked:,} that it announces"
        raise damaged(path, kind, why)
    if unpacked > SUSPICIOUS_BYTES and unpacked > SUSPICIOUS_RATIO * packed:
        raise TriptychError(
            f"{path} unpacks from {_megabytes(packed)} to {_megabytes(unpacked)}, which images hardly do; "
            "if it is meant, save it uncompressed (numpy.save)"
        )
    check_memory(path, unpacked, "unpacks to")


def check_memory(path: Path, size: int, takes: str) -> None:
    """Refuse, before a byte is read, what memory cannot hold."""
    memory = _memory()
    if memory is not None and size > memory:
        raise TriptychError(
            f"{path} {takes} {_megabytes(size)} and {_megabytes(memory)} of memory are free; "
            "save it uncompressed as .npy (numpy.save), which is read from the disk"
        )


def most_unpacked(packed: int) -> int:
    """The largest number of bytes that `check_unpacked` lets pass."""
    most = min(DEFLATE * (packed + 64), max(SUSPICIOUS_BYTES, SUSPICIOUS_RATIO * packed))
    memory = _memory()
    return most if memory is None else min(most, memory)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def _memory() -> int | None:
    """Bytes that can be had without swapping; None where the system does not say."""
    try:
        told = Path("/proc/meminfo").read_text(encoding="ascii")
        (line,) = [line for line in told.splitlines() if line.startswith("MemAvailable:")]
        left = cgroups.free()
        whole = int(line.split()[1]) * 1024
        return whole if left is None else min(whole, left)
    except (OSError, ValueError):
        names = getattr(os, "sysconf_names", {})
        if not {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= names.keys():
            return None
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_labels(labels: npt.NDArray[Any], count: int, path: Path) -> npt.NDArray[np.int64] | None:
    """Labels as int64 of shape (count,); None where all are -1, the hub's way to hold them back.

    Which numbers they are does not matter: the cache numbers the values that occur.
    """
    flat = labels.reshape(-1) if labels.ndim and labels.size == max(labels.shape) else labels
    if flat.shape != (count,):
        shape = "x".join(map(str, labels.shape)) or "() (a single number)"
        raise TriptychError(
            f"{path} has {count:,} images but labels of shape {shape}; give each image one label"
        )
    if flat.dtype.kind not in "iub":
        raise TriptychError(
            f"the labels in {path} are of type {flat.dtype}; write them as integers from 0"
        )
    if count and int(flat.max()) > np.iinfo(np.int64).max:
        raise TriptychError(
            f"{path} has the label {flat.max()}, which 64 bits with a sign do not hold; "
            "number the classes from 0"
        )
    flat = flat.astype(np.int64)
    held_back = int((flat == -1).sum())
    if count and held_back == count:
        return None
    if held_back and flat.min() == -1:
        raise TriptychError(
            f"{held_back:,} of the {count:,} labels in {path} are -1, which stands for no label; leave "
            "those images out (or all labels), or, if -1 is a class, number the classes from 0"
        )
    if count and flat.min() < 0:
        raise TriptychError(f"{path} has the label {flat.min()}; number the classes from 0")
    return flat
