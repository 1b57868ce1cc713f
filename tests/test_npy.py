"""Arrays whose header promises what is not there: refused in a run's folder and as data, before memory is asked for."""

from __future__ import annotations

import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from specimens import header, zipped

from triptych.arrays import made_with, unpack
from triptych.data.readers import npy_format
from triptych.errors import DamagedError, TriptychError
from triptych.npy import MAGIC

FEW = 3_000_000
"""Bytes, of which a reader's buffer takes one million."""


def archive(data: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    return zipped({"x.npy": data}, method)


HUGE = 2**31 * 3

MISLEADING = {
    "many": (header(f"({HUGE},)") + bytes(9), f"has 9 bytes where {HUGE:,} are due"),
    "many in columns": (header(f"({HUGE}, 2)", "'<f8'", "True") + bytes(9), "has 9 bytes where"),
    "more than 64 bits": (header("(4294967296, 4294967296, 8)"), "has 0 bytes where 147,573"),
    "fields": (header(f"({HUGE},)", "[('a', '<c8')]") + bytes(48), "has fields: "),
    "fields that fit": (header("(6,)", "[('a', '<c8')]") + bytes(48), "has fields: "),
    "an array a value": (header(f"({HUGE},)", "('<f4', (3,))") + bytes(48), "has fields: "),
    "a wide array a value": (header("(1,)", f"('|u1', ({2**40},))") + bytes(48), "invalid shape"),
    "objects": (header(f"({HUGE},)", "'|O'") + bytes(48), "holds Python objects"),
    "fields of objects": (header("(6,)", "[('a', '|O')]") + bytes(48), "holds Python objects"),
    "wide texts": (header("(1,)", "'<U500000000'") + bytes(48), "has 48 bytes where 2,000,000,000"),
    "no size": (header(f"({HUGE},)", "'|V0'"), "which has no size"),
    "negative": (header("(-2, -24)") + bytes(48), r"its header has the shape \(-2, -24\)"),
    "negative once": (header(f"({HUGE}, -1)") + bytes(48), "its header has the shape"),
    "none of many": (header(f"(0, {HUGE})"), r"has no value and the shape \(0, 6442450944\)"),
    "none of more than 64 bits": (header("(4294967296, 4294967296, 0)"), "has no value and the"),
    "a number for a shape": (header("7") + bytes(7), "shape is not valid"),
    "no array": (b"text", "magic string"),
}


def refused(read: Callable[[Path], object], path: Path, why: str) -> None:
    """A sentence that says why, and no memory asked for before."""
    tracemalloc.start()
    try:
        with pytest.raises(TriptychError, match=why) as raised:
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)
    assert peak < FEW
    seen: BaseException | None = raised.value
    while seen is not None:
        assert not isinstance(seen, MemoryError)
        seen = seen.__cause__ or seen.__context__


@pytest.mark.parametrize(("data", "why"), MISLEADING.values(), ids=MISLEADING)
def test_a_header_is_looked_at_before_it_is_obeyed(tmp_path: Path, data: bytes, why: str):
    packed, plain = tmp_path / "d.npz", tmp_path / "d.npy"
    packed.write_bytes(archive(data))
    plain.write_bytes(data)
    refused(unpack, packed, why)
    refused(lambda path: npy_format.member(path, "x"), packed, why)
    refused(npy_format.mapped, plain, why)
    assert made_with(packed) == {}


def lying(size: int) -> bytes:
    """An archive that says of its one array, which has 48 bytes and a header for as many as the archive says, another size."""
    values = header(f"({size - 100},)").ljust(100)
    values = header(f"({size - len(values)},)")
    data = archive(values + bytes(48))
    here, told = struct.pack("<I", len(values) + 48), struct.pack("<I", size)
    assert data.count(here) == 2
    return data.replace(here, told)


def test_a_size_that_lies_is_refused(tmp_path: Path):
    path = tmp_path / "d.npz"
    path.write_bytes(lying(100_000_000))
    for read in (unpack, lambda path: npy_format.member(path, "x")):
        with pytest.raises(TriptychError, match="is damaged"):
            read(path)
    path.write_bytes(lying(2_000_000_000))
    refused(unpack, path, "2,000,000,000 bytes unpacked, far more than any has")
    refused(lambda path: npy_format.member(path, "x"), path, "cannot hold the 2,000,000,000 that")


def test_what_numpy_does_not_write_is_refused(tmp_path: Path):
    path = tmp_path / "d.npz"
    path.write_bytes(archive(header("(48,)") + bytes(48), zipfile.ZIP_LZMA))
    with pytest.raises(DamagedError, match="compressed in a way that NumPy does not write"):
        unpack(path)


def test_a_header_that_no_parser_follows_is_not_called_a_lack_of_memory(tmp_path: Path):
    """Python's parser raises a MemoryError of what is nested too deep, from 3.14 on of less."""
    text = b"-" * 9000 + b"1"
    deep = MAGIC + bytes((1, 0)) + struct.pack("<H", len(text)) + text
    (tmp_path / "d.npy").write_bytes(deep + bytes(48))
    with pytest.raises(TriptychError, match="nested too deep"):
        npy_format.mapped(tmp_path / "d.npy")


@pytest.mark.parametrize("kind", ["<f4", ">i8", "|b1", "<U3", "|S2", "<c8", "<f2"])
@pytest.mark.parametrize("shape", [(), (6,), (2, 3), (0, 4)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_numpy_writes_comes_back(tmp_path: Path, kind: str, shape: tuple[int, ...], order):
    array = np.zeros(shape, kind, order)
    if array.size:
        array.reshape(-1, order="A")[:] = np.arange(array.size).astype(kind)
    np.savez(tmp_path / "d.npz", x=array)
    (tmp_path / "d.npy").write_bytes(zipfile.ZipFile(tmp_path / "d.npz").read("x.npy"))
    for found in (
        unpack(tmp_path / "d.npz")[0]["x"],
        npy_format.member(tmp_path / "d.npz", "x"),
        npy_format.mapped(tmp_path / "d.npy"),
    ):
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)
