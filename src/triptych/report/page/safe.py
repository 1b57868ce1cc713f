"""Folders of strangers: nothing is read outside of them, nothing huge is unpacked, what is broken is left out and said."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from PIL import Image, UnidentifiedImageError

from triptych.errors import TriptychError

__all__ = ["Attempts", "check"]

T = TypeVar("T")

TEXT, ARRAYS = 64_000_000, 256_000_000
"""Bytes of a text file, and of all arrays of a file once unpacked, that are read at most."""

PIXELS = 16_000_000
"""Pixels of a sheet of samples that is opened at most: a file of a kilobyte can hold billions."""

TEXTS = ("*.json", "*.jsonl", "*.toml")


def check(folder: Path) -> None:
    """Refuse a folder that leads out of itself or would fill the memory; a `TriptychError` that names the file."""
    root = folder.resolve()
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            raise TriptychError(f"'{path}' is a link that leads out of '{folder}'; delete it first")
    for pattern in TEXTS:
        for path in folder.rglob(pattern):
            if path.stat().st_size > TEXT:
                raise _too_big(path, f"{path.stat().st_size:,} bytes")
    for path in folder.rglob("samples/*.npz"):
        if (size := _unpacked(path)) > ARRAYS:
            raise _too_big(path, f"{size:,} bytes unpacked")
    for path in folder.rglob("samples/moments/*.png"):
        if (size := _pixels(path)) > PIXELS:
            raise _too_big(path, f"{size:,} pixels")


def _too_big(path: Path, size: str) -> TriptychError:
    return TriptychError(
        f"'{path}' has {size}, far more than any that Triptych writes; delete it first"
    )


def _unpacked(path: Path) -> int:
    try:
        with zipfile.ZipFile(path) as file:
            return sum(member.file_size for member in file.infolist())
    except (OSError, zipfile.BadZipFile):
        return 0  # Whoever reads it says what is wrong with it.


def _pixels(path: Path) -> int:
    try:
        with Image.open(path) as picture:
            return picture.width * picture.height
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return PIXELS + 1
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError):
        return 0


class Attempts:
    """Calls what reads a part of a folder, and keeps account of the parts that cannot be read.

    Example:
        >>> attempt = Attempts()
        >>> attempt("the sum", lambda: 1 + 1), attempt("the quotient", lambda: 1 / 0), attempt.lost
        (2, None, ['the quotient (division by zero)'])
    """

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict
        self.lost: list[str] = []

    def __call__(self, what: str, make: Callable[[], T]) -> T | None:
        """What ``make`` gives; none where it breaks. A `TriptychError` is for the caller: it says what to do."""
        try:
            return make()
        except TriptychError:
            raise
        except Exception as error:
            # A stranger's folder may be broken in any way, and the rest of it is still worth showing.
            if self.strict:
                raise
            self.lost.append(f"{what} ({error or type(error).__name__})")
            return None
