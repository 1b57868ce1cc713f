"""Folders of strangers: nothing is read outside of them, nothing huge is unpacked, what is broken is left out and said."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from PIL import Image, UnidentifiedImageError

from triptych.arrays import ARRAYS
from triptych.enclosed import enclosed
from triptych.errors import DamagedError, TriptychError
from triptych.files import TEXT

__all__ = ["Attempts", "check"]

T = TypeVar("T")

PIXELS = 16_000_000
"""Pixels of a sheet of samples that is opened at most: a file of a kilobyte can hold billions."""

ALL_ARRAYS, ALL_PIXELS = 512_000_000, 300_000_000
"""The same of one run in all: sixty sheets of 64 images of 256 × 256 have 252 million pixels."""

TEXTS, ENDS = (".json", ".jsonl", ".toml"), ("DONE", "FAILED")
"""Texts by their suffix and by their name."""


def check(folder: Path) -> None:
    """Refuse a folder that leads out of itself, would hang or fill the memory; a `TriptychError` that names the file."""
    enclosed(folder)
    for path in folder.rglob("*"):
        if not path.exists():
            continue  # A file of a run that goes on, replaced just now.
        if path.suffix in TEXTS or path.name in ENDS:
            _limit({path: path.stat().st_size}, TEXT, "bytes")
    for run, paths in _by_run(folder.rglob("samples/*.npz")).items():
        _limit(sizes := {p: _unpacked(p) for p in paths}, ARRAYS, "bytes unpacked")
        _limit({run: sum(sizes.values())}, ALL_ARRAYS, "bytes of arrays unpacked")
    for run, paths in _by_run(folder.rglob("samples/moments/*.png")).items():
        _limit(sizes := {p: _pixels(p) for p in paths}, PIXELS, "pixels")
        _limit({run: sum(sizes.values())}, ALL_PIXELS, "pixels in samples/moments")


def _by_run(paths: Iterable[Path]) -> dict[Path, list[Path]]:
    found: dict[Path, list[Path]] = {}
    for path in paths:
        samples = next(p for p in path.parents if p.name == "samples")
        found.setdefault(samples.parent, []).append(path)
    return found


def _limit(sizes: Mapping[Path, int], most: int, unit: str) -> None:
    for path, size in sizes.items():
        if size > most:
            raise _too_big(path, f"{size:,} {unit}")


def _too_big(path: Path, size: str) -> TriptychError:
    return TriptychError(
        f"'{path}' has {size}, far more than any that Triptych writes; delete it first"
    )


def _unpacked(path: Path) -> int:
    try:
        with zipfile.ZipFile(path) as file:
            return sum(member.file_size for member in file.infolist())
    except Exception:
        # Damage makes zipfile raise any of a dozen kinds; whoever reads the file says what is wrong with it.
        return 0


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
        """What ``make`` gives; none where it breaks.

        A damaged file is named once, however many parts rest on it; any other `TriptychError` is for the caller.
        """
        try:
            return make()
        except DamagedError as error:
            if self.strict:
                raise
            if str(error) not in self.lost:
                self.lost.append(str(error))
            return None
        except TriptychError:
            raise
        except Exception as error:
            # A stranger's folder may be broken in any way, and the rest of it is still worth showing.
            if self.strict:
                raise
            self.lost.append(f"{what} ({error or type(error).__name__})")
            return None
