"""What every reader gives: one split, its pixels read block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from triptych.data.images import Decoder
from triptych.data.picture import Pixels
from triptych.errors import TriptychError

__all__ = ["SPLITS", "Part", "Read", "check_labels", "damaged"]

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

    Labels are int64, one for each image, counted from 0; `classes` names them where the files do.
    `notes` say, a sentence each, what the reader took where there was a choice, and what it left.
    """

    count: int
    blocks: Iterator[Pixels]
    labels: npt.NDArray[np.int64] | None = None
    classes: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


Read: TypeAlias = Callable[[str, tuple[Path, ...], Decoder], Part]
"""``read(split, files, decoder)`` opens the files of one split and decodes with the decoder."""


def damaged(path: Path, kind: str, why: object) -> TriptychError:
    """The error for a file that is cut short or is not what it should be."""
    return TriptychError(
        f"{path} is damaged, cut short or not {kind} ({why}); download or copy it again"
    )


def check_labels(labels: npt.NDArray[Any], count: int, path: Path) -> npt.NDArray[np.int64] | None:
    """Labels as int64 of shape (count,); None where all are -1, the hub's way to hold them back."""
    flat = labels.reshape(-1) if labels.size == len(labels) else labels
    if flat.shape != (count,):
        shape = "x".join(map(str, labels.shape))
        raise TriptychError(
            f"{path} has {count:,} images but labels of shape {shape}; give each image one label"
        )
    if flat.dtype.kind not in "iub":
        raise TriptychError(
            f"the labels in {path} are of type {flat.dtype}; write them as integers from 0"
        )
    flat = flat.astype(np.int64)
    if count and (flat == -1).all():
        return None
    if count and flat.min() < 0:
        raise TriptychError(f"{path} has the label {flat.min()}; number the classes from 0")
    return flat
