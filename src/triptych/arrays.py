"""What pictures are drawn from, as a run's folder keeps it: arrays in samples/, and sheets of images of a training."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from triptych import npy
from triptych.errors import DamagedError, TriptychError
from triptych.files import read_bytes, write

__all__ = ["ARRAYS", "Moments", "made_with", "pack", "save_sheet", "unpack"]

ARRAYS = 256_000_000
"""Bytes of all arrays of a file, packed or unpacked, that are read at most."""

MADE_WITH = "made_with"
"""The array that says which weights the others of a file were made with."""


def pack(
    path: Path, arrays: Mapping[str, npt.NDArray[Any]], weights: Mapping[str, Any] | None = None
) -> None:
    """Keep arrays in one file, with the fields that say which weights they were made with."""
    told = {} if weights is None else {MADE_WITH: np.array(json.dumps(dict(weights)))}
    packed = BytesIO()
    np.savez_compressed(packed, **arrays, **told)  # type: ignore[arg-type]
    write(path, packed.getvalue())


def unpack(path: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """What `pack` kept, and of which weights; empty where the file does not say.

    Raises FileNotFoundError, and `DamagedError` for a file that `pack` did not write.

    Example:
        >>> pack(tmp_path / "a.npz", {"images": np.zeros((2, 3))}, {"step": 7})
        >>> arrays, weights = unpack(tmp_path / "a.npz")
        >>> arrays["images"].shape, weights
        ((2, 3), {'step': 7})
    """
    found = _read(path)
    return found, _told(found.pop(MADE_WITH, None))


def made_with(path: Path) -> dict[str, Any]:
    """The weights alone, the arrays still packed; empty too for a damaged file: whoever draws from it says so."""
    try:
        return _told(_read(path, MADE_WITH).get(MADE_WITH))
    except (FileNotFoundError, TriptychError):
        return {}


def _read(path: Path, only: str = "") -> dict[str, npt.NDArray[Any]]:
    """All arrays of a file, or ``only`` one."""
    data = read_bytes(path, ARRAYS)
    try:
        with zipfile.ZipFile(BytesIO(data)) as file:
            unpacked = sum(info.file_size for info in file.infolist())
            if unpacked > ARRAYS:
                raise ValueError(f"{unpacked:,} bytes unpacked, far more than any has")
            named = {info.filename.removesuffix(npy.SUFFIX): info for info in file.infolist()}
            chosen = [name for name in named if only in ("", name)]
            return {name: npy.member(file, named[name]) for name in chosen}
    except Exception as error:
        # What NumPy, zlib and zipfile raise over broken bytes is any of a dozen kinds.
        why = str(error) or type(error).__name__
        raise DamagedError(path, why, "evaluate the run again") from None


def _told(array: npt.NDArray[Any] | None) -> dict[str, Any]:
    """The fields in the array that says them; empty where there is none, or it says nothing that is known."""
    try:
        found = {} if array is None else json.loads(str(array))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def save_sheet(path: Path, images: npt.NDArray[np.uint8]) -> None:
    """Keep a square number of images N×C×H×W, side by side, as one PNG."""
    from PIL import Image

    count, channels, height, width = images.shape
    side = math.isqrt(count)
    sheet = images.reshape(side, side, channels, height, width).transpose(0, 3, 1, 4, 2)
    sheet = sheet.reshape(side * height, side * width, channels)
    path.parent.mkdir(exist_ok=True)
    packed = BytesIO()
    Image.fromarray(sheet.squeeze(2) if channels == 1 else sheet).save(packed, "PNG")
    write(path, packed.getvalue())


class Moments(Mapping[int, npt.NDArray[np.uint8]]):
    """Sheets of side × side images by step, N×C×H×W, of which only those that are held fill the memory."""

    def __init__(self, folder: Path, side: int) -> None:
        self.side = side
        self.paths = {
            int(path.stem): path for path in sorted(folder.glob("*.png")) if path.stem.isdecimal()
        }

    def __getitem__(self, step: int) -> npt.NDArray[np.uint8]:
        """The images of a step. Raises `DamagedError` for a file that `save_sheet` did not write."""
        path = self.paths[step]
        try:
            return self._images(read_bytes(path, ARRAYS))
        except DamagedError:
            raise
        except Exception as error:
            # Pillow's decoder of damaged files raises whatever its next line happens to raise.
            raise DamagedError(path, str(error) or type(error).__name__, "delete it") from None

    def _images(self, data: bytes) -> npt.NDArray[np.uint8]:
        from PIL import Image

        with Image.open(BytesIO(data), formats=["PNG"]) as picture:
            if picture.mode not in ("L", "RGB") or picture.width * picture.height > ARRAYS // 3:
                raise ValueError(f"{picture.width}×{picture.height} pixels in {picture.mode}")
            sheet = np.atleast_3d(np.asarray(picture))
        side, channels = self.side, sheet.shape[2]
        height, width = sheet.shape[0] // side, sheet.shape[1] // side
        images = sheet.reshape(side, height, side, width, channels).transpose(0, 2, 4, 1, 3)
        return images.reshape(-1, channels, height, width)

    def __iter__(self) -> Iterator[int]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)
