"""NumPy's own files: what an array is, told by its header before a value is read, and its values."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path
from typing import IO, Any
from warnings import catch_warnings, simplefilter

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from triptych.arrays import has_letters
from triptych.data.readers.part import check_unpacked, damaged, foreign
from triptych.errors import TriptychError

__all__ = ["Header", "mapped", "member", "members"]

ARRAY = "an array of numbers in NumPy's .npy format"
ARCHIVE = "an .npz archive of arrays of numbers"
SUFFIX = ".npy"
CHUNK = 1 << 20
MANY = 10_000
LONGEST_HEADER = 10_000


@dataclass(frozen=True)
class Header:
    """What stands before the values of an array; `start` is where these begin."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    start: int

    @property
    def bytes(self) -> int:
        """How many bytes the values take, as an integer that cannot overflow."""
        return prod(self.shape) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{'x'.join(map(str, self.shape)) or 'a single number'} of {self.dtype}"


def mapped(path: Path) -> npt.NDArray[Any]:
    """The one array of an .npy file, read from the disk as it is looked at."""
    with foreign(path, ARRAY), path.open("rb") as file:
        head = file.read(4)
        if head.startswith(b"PK"):
            raise damaged(path, ARRAY, "it is an archive; name it .npz")
        file.seek(0)
        header = _header(file)
        _check_type(path, ARRAY, header, "it")
        found = path.stat().st_size - header.start
        if found != header.bytes:
            raise damaged(path, ARRAY, f"{found:,} bytes where {header.bytes:,} are due")
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
            with _unpacked(path, archive, info) as stream:
                found[name] = _header(stream)
        return found


def member(path: Path, name: str) -> npt.NDArray[Any]:
    """One array of an .npz archive; refused unread where header, file and memory do not fit together."""
    with _archive(path) as archive:
        info = archive.getinfo(name + SUFFIX)
        with _unpacked(path, archive, info) as stream:
            header = _header(stream)
            _check_type(path, ARCHIVE, header, f"'{name}'")
            found = info.file_size - header.start
            if found != header.bytes:
                why = f"'{name}' has {found:,} bytes where {header.bytes:,} are due"
                raise damaged(path, ARCHIVE, why)
            check_unpacked(path, info.compress_size, info.file_size, ARCHIVE)
            values = _values(stream, header.bytes)
        order = header.shape[::-1] if header.fortran else header.shape
        array = values.view(header.dtype).reshape(order)
        if not has_letters(array):
            raise ValueError(f"'{name}' has characters that there are not")
        return array.T if header.fortran else array


def _values(stream: IO[bytes], count: int) -> npt.NDArray[np.uint8]:
    """The next `count` bytes, and no more memory than they take; the archive checks their checksum at their end."""
    out = np.empty(count, dtype=np.uint8)
    done = 0
    while chunk := stream.read(min(CHUNK, count - done) or 1):
        if done == count:
            raise ValueError("more bytes than are due")
        out[done : done + len(chunk)] = np.frombuffer(chunk, dtype=np.uint8)
        done += len(chunk)
    if done < count:
        raise ValueError(f"{done:,} bytes where {count:,} are due")
    return out


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """An open .npz; whatever is wrong with it while it is open is told by its name."""
    with foreign(path, ARCHIVE), path.open("rb") as file:
        if file.read(len(npy.MAGIC_PREFIX)) == npy.MAGIC_PREFIX:
            raise damaged(path, ARCHIVE, "it is a single array; name it .npy")
        with zipfile.ZipFile(file) as archive:
            if len(archive.infolist()) > MANY:
                raise damaged(path, ARCHIVE, f"it has {len(archive.infolist()):,} members")
            yield archive


@contextmanager
def _unpacked(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[IO[bytes]]:
    # The other methods of ZIP may ask for memory without a bound, and NumPy writes none of them.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise damaged(path, ARCHIVE, "it is compressed in a way that NumPy does not write")
    if info.flag_bits & 1:
        raise damaged(path, ARCHIVE, "it is encrypted")
    with archive.open(info) as stream:
        yield stream


def _header(stream: IO[bytes]) -> Header:
    """Read up to the first value. NumPy's parser may raise anything here; call it within `foreign`."""
    head = stream.read(8)
    version = npy.read_magic(BytesIO(head))
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"version {version[0]}.{version[1]} of the format is not known")
    size = stream.read(2 if version == (1, 0) else 4)
    if int.from_bytes(size, "little") > LONGEST_HEADER:
        raise ValueError("its header is too long")
    whole = BytesIO(head + size + stream.read(int.from_bytes(size, "little")))
    npy.read_magic(whole)
    # Version 3.0 differs from 2.0 in the encoding of the names of fields alone, and fields are refused.
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    with catch_warnings():
        # NumPy remarks upon headers of Python 2 and odd types, which are told below if they matter.
        simplefilter("ignore")
        shape, fortran, dtype = read(whole)
    if any(length < 0 for length in shape):
        raise ValueError(f"its header has the shape {shape}")
    return Header(tuple(map(int, shape)), dtype, bool(fortran), whole.tell())


def _check_type(path: Path, kind: str, header: Header, what: str) -> None:
    if header.dtype.hasobject:
        why = f"{what} holds Python objects, which are not read for safety"
        raise damaged(path, kind, why)
    if header.dtype.names is not None or header.dtype.subdtype is not None:
        raise damaged(path, kind, f"{what} has fields: {str(header.dtype)[:80]}")
    if not header.dtype.itemsize:
        raise damaged(path, kind, f"{what} is of type {header.dtype}, which has no size")
