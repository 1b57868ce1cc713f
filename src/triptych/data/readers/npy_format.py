"""NumPy's own files as data of anybody's: what each array is, and the one that is asked for."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from triptych import npy
from triptych.data.readers.part import check_unpacked, damaged, foreign
from triptych.errors import TriptychError
from triptych.npy import SUFFIX, Header

__all__ = ["Header", "mapped", "member", "members"]

ARRAY = "an array of numbers in NumPy's .npy format"
ARCHIVE = "an .npz archive of arrays of numbers"
MANY = 10_000


def mapped(path: Path) -> npt.NDArray[Any]:
    """The one array of an .npy file, read from the disk as it is looked at."""
    with foreign(path, ARRAY), path.open("rb") as file:
        head = file.read(4)
        if head.startswith(b"PK"):
            raise ValueError("it is an archive; name it .npz")
        file.seek(0)
        header = npy.header(file)
        npy.check(header, path.stat().st_size - header.start)
        if not header.bytes:
            return np.empty(header.shape, header.dtype)
        return np.memmap(
            path, header.dtype, "r", header.start, header.shape, "F" if header.fortran else "C"
        )


def members(path: Path) -> dict[str, Header]:
    """Every array of an .npz archive by its name; only headers are read."""
    with _archive(path) as archive:
        found: dict[str, Header] = {}
        for info in archive.infolist():
            if not info.filename.endswith(SUFFIX):
                continue
            name = info.filename.removesuffix(SUFFIX)
            if name in found:
                raise TriptychError(f"{path} holds two arrays named '{name}'; keep one of them")
            with npy.unpacked(archive, info) as stream:
                found[name] = npy.header(stream)
        return found


def member(path: Path, name: str) -> npt.NDArray[Any]:
    """One array of an .npz archive; refused unread where header, file and memory do not fit together."""
    with _archive(path) as archive:
        info = archive.getinfo(name + SUFFIX)
        check_unpacked(path, info.compress_size, info.file_size, ARCHIVE)
        return npy.member(archive, info)


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """An open .npz; whatever is wrong with it while it is open is told by its name."""
    with foreign(path, ARCHIVE), path.open("rb") as file:
        if file.read(len(npy.MAGIC)) == npy.MAGIC:
            raise damaged(path, ARCHIVE, "it is a single array; name it .npy")
        with zipfile.ZipFile(file) as archive:
            if len(archive.infolist()) > MANY:
                raise damaged(path, ARCHIVE, f"it has {len(archive.infolist()):,} members")
            yield archive
