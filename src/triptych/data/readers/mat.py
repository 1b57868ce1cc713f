"""SVHN's official `train_32x32.mat`: X of 32×32×3×N, y with 10 for the digit 0."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from triptych.data.images import Decoder
from triptych.data.readers.part import Part, check_labels, damaged

__all__ = ["read"]

KIND = "a MATLAB file with images X (height x width x 3 x N, bytes) and labels y"


def read(split: str, files: tuple[Path, ...], decoder: Decoder) -> Part:
    """Colour images and the digits 0 to 9."""
    (path,) = files
    found = _load(path)
    if not {"X", "y"} <= found.keys():
        raise damaged(path, KIND, f"it holds {', '.join(sorted(found)) or 'nothing'}")
    images = found["X"]
    if images.ndim != 4 or images.shape[2] != 3 or images.dtype != np.uint8:
        shape = "x".join(map(str, images.shape))
        raise damaged(path, KIND, f"X is {shape} of type {images.dtype}")
    labels = check_labels(found["y"], images.shape[3], path)
    if labels is not None:
        labels[labels == 10] = 0
    return Part(images.shape[3], decoder.array(images.transpose(3, 0, 1, 2)), labels)


def _load(path: Path) -> dict[str, Any]:
    """The variables of the file; scipy tells a damaged one by many kinds of exception."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        found = loadmat(path, variable_names=["X", "y"])
    except (OSError, ValueError, TypeError, EOFError, KeyError, IndexError, zlib.error) as why:
        raise damaged(path, KIND, why) from why
    except (MatReadError, NotImplementedError, MemoryError, OverflowError) as why:
        raise damaged(path, KIND, why) from why
    return {name: value for name, value in found.items() if not name.startswith("__")}
