"""NumPy's format of one array: what it is, told by its header before any memory is asked for, and its values.

Everything here raises `ValueError`, or what NumPy's parser raises; whoever knows the file says its name.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from math import prod
from typing import IO, Any
from warnings import catch_warnings, simplefilter

import numpy as np
import numpy.typing as npt
from numpy.lib import format as layout

__all__ = ["MAGIC", "SUFFIX", "Header", "check", "header", "member", "unpacked"]

MAGIC = layout.MAGIC_PREFIX
"""How the format begins."""

SUFFIX = ".npy"
"""How a member of an archive is called that is an array."""

CHUNK = 1 << 20
LONGEST_HEADER = 10_000

EMPTY = 1 << 28
"""Bytes that one row along the empty axes of an array without values may have: a sum over these takes as many."""


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


def header(stream: IO[bytes]) -> Header:
    """Read up to the first value."""
    head = stream.read(8)
    version = layout.read_magic(BytesIO(head))
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"version {version[0]}.{version[1]} of the format is not known")
    size = stream.read(2 if version == (1, 0) else 4)
    if int.from_bytes(size, "little") > LONGEST_HEADER:
        raise ValueError("its header is too long")
    whole = BytesIO(head + size + stream.read(int.from_bytes(size, "little")))
    layout.read_magic(whole)
    # Version 3.0 differs from 2.0 in the encoding of the names of fields alone, and fields are refused.
    read = layout.read_array_header_1_0 if version == (1, 0) else layout.read_array_header_2_0
    with catch_warnings():
        # NumPy remarks upon headers of Python 2 and odd types, which are told below if they matter.
        simplefilter("ignore")
        try:
            shape, fortran, dtype = read(whole)
        except MemoryError:
            # Python's parser says so of what is nested too deep: ten thousand bytes want no memory.
            raise ValueError("its header is nested too deep") from None
    if any(length < 0 for length in shape):
        raise ValueError(f"its header has the shape {shape}")
    return Header(tuple(map(int, shape)), dtype, bool(fortran), whole.tell())


def check(header: Header, found: int, what: str = "it") -> None:
    """Refuse an array that is not of numbers or texts, or does not take the ``found`` bytes that there are.

    Example:
        >>> check(Header((1 << 40, 2), np.dtype("<f4"), False, 128), 800)
        Traceback (most recent call last):
        ValueError: it has 800 bytes where 8,796,093,022,208 are due
    """
    if header.dtype.hasobject:
        raise ValueError(f"{what} holds Python objects, which are not read for safety")
    if header.dtype.names is not None or header.dtype.subdtype is not None:
        raise ValueError(f"{what} has fields: {str(header.dtype)[:80]}")
    if not header.dtype.itemsize:
        raise ValueError(f"{what} is of type {header.dtype}, which has no size")
    if found != header.bytes:
        raise ValueError(f"{what} has {found:,} bytes where {header.bytes:,} are due")
    if not found and prod(filter(None, header.shape)) * header.dtype.itemsize > EMPTY:
        raise ValueError(f"{what} has no value and the shape {header.shape}")


@contextmanager
def unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[IO[bytes]]:
    """A member of an archive that NumPy wrote."""
    # The other methods of ZIP may ask for memory without a bound, and NumPy writes none of them.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("it is compressed in a way that NumPy does not write")
    if info.flag_bits & 1:
        raise ValueError("it is encrypted")
    with archive.open(info) as stream:
        yield stream


def member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> npt.NDArray[Any]:
    """One array of an archive; takes no more memory than the archive says that the member has.

    Example:
        >>> np.savez(tmp_path / "a.npz", x=np.arange(6).reshape(2, 3))
        >>> with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        ...     member(archive, archive.getinfo("x.npy")).tolist()
        [[0, 1, 2], [3, 4, 5]]
    """
    name = f"'{info.filename.removesuffix(SUFFIX)}'"
    with unpacked(archive, info) as stream:
        told = header(stream)
        check(told, info.file_size - told.start, name)
        values = _values(stream, told.bytes)
    array = values.view(told.dtype).reshape(told.shape[::-1] if told.fortran else told.shape)
    if not _has_letters(array):
        raise ValueError(f"{name} has characters that there are not")
    return array.T if told.fortran else array


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


def _has_letters(array: npt.NDArray[Any]) -> bool:
    """Whether an array, if it is of texts, has nothing but characters: NumPy reads any 32 bits for one, and Python fails at it.

    Example:
        >>> _has_letters(np.array(["a"])), _has_letters(np.array([0x110000], "u4").view("U1"))
        (True, False)
    """
    if array.dtype.kind != "U" or not array.size or not array.dtype.itemsize:
        return True
    codes = np.ascontiguousarray(array).view(np.dtype("u4").newbyteorder(array.dtype.byteorder))
    return int(codes.max()) <= sys.maxunicode
