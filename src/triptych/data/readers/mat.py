"""SVHN's official `train_32x32.mat`: X of 32×32×3×N, y with 10 for the digit 0."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from triptych.data.images import Decoder
from triptych.data.readers import matlab
from triptych.data.readers.part import Part, check_labels, check_unpacked, damaged, most_unpacked
from triptych.errors import MachineError, TriptychError
from triptych.processes import same_packages

__all__ = ["meanings", "read"]

KIND = "a MATLAB file with images X (height x width x 3 x N, bytes) and labels y"
SECONDS = 60.0
BYTES_PER_SECOND = 1e6
INTERPRETER_BYTES = 2_000_000_000


def read(split: str, files: tuple[Path, ...], decoder: Decoder) -> Part:
    """Colour images, and labels as they stand in the file; see `meanings`."""
    (path,) = files
    images, labels, left = _load(path)
    if images.ndim != 4 or images.shape[2] != 3 or images.dtype != np.uint8:
        shape = "x".join(map(str, images.shape))
        raise damaged(path, KIND, f"X is {shape} of type {images.dtype}")
    if not images.size:
        raise TriptychError(f"{path} holds no image (the shape of X is {images.shape}); save some")
    numbers = check_labels(labels, images.shape[3], path)
    notes = (f"variables beside X and y were left: {', '.join(left)}",) if left else ()
    return Part(images.shape[3], decoder.array(images.transpose(3, 0, 1, 2)), numbers, notes=notes)


def meanings(values: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], str | None]:
    """SVHN writes 10 for the digit 0: so it is read where all labels are from 1 to 10.

    Example:
        >>> meanings(np.arange(1, 11))[0].tolist()
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
        >>> meanings(np.arange(12))[0].tolist()
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    """
    if 10 in values and values.min() >= 1 and values.max() == 10:
        note = "the labels are from 1 to 10, and 10 was read as the digit 0, as SVHN writes it"
        return np.where(values == 10, 0, values), note
    return values, None


def _load(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any], list[str]]:
    """X, y and the names of the other variables."""
    packed = path.stat().st_size
    with TemporaryDirectory(prefix="triptych-mat-") as folder:
        told = _in_a_process_of_its_own(path, folder, packed)
        check_unpacked(path, packed, told.get("size", 0), KIND)
        if "refused" in told:
            raise MachineError(f"cannot write into '{folder}' what {path} holds: {told['refused']}")
        if "why" in told:
            raise damaged(path, KIND, told["why"])
        held = [name for name, *_ in told["variables"]]
        files = {name: Path(folder) / f"{name}.npy" for name in ("X", "y")}
        if not all(file.is_file() for file in files.values()):
            listed = ", ".join(
                f"{n}: {'x'.join(map(str, s))} of {k}" for n, s, k in told["variables"]
            )
            raise damaged(path, KIND, f"it holds {listed or 'nothing'}")
        images, labels = (np.load(file) for file in files.values())
    return images, labels, sorted(set(held) - {"X", "y"})


def _in_a_process_of_its_own(path: Path, folder: str, packed: int) -> dict[str, Any]:
    """What `matlab.main` tells, in a process that may crash, and whose time and memory have bounds."""
    if not sys.executable or getattr(sys, "frozen", False):
        raise TriptychError(
            f"{path} is read by a Python process of its own, and this program cannot start one; "
            "save images and labels as .npz (numpy.savez)"
        )
    most = most_unpacked(packed)
    memory = INTERPRETER_BYTES + 2 * most
    command = [sys.executable, "-P", matlab.__file__, path, folder, most, memory, "X", "y"]
    # Threads take room and do nothing.
    environment = os.environ | same_packages() | {"OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [str(word) for word in command],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS + packed / BYTES_PER_SECOND,
        )
    except subprocess.TimeoutExpired as why:
        raise damaged(path, KIND, f"reading it did not end within {why.timeout:.0f} s") from why
    if done.returncode:
        how = (
            f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        )
        raise damaged(path, KIND, f"reading it ended the reader's process with {how}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told
