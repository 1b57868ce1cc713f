"""IDX files, the format in which MNIST and Fashion-MNIST were published; plain or gzipped."""

from __future__ import annotations

import gzip
from io import BufferedIOBase
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from triptych.data.images import Decoder
from triptych.data.readers.part import Part, check_labels, check_unpacked, damaged, foreign
from triptych.errors import TriptychError

__all__ = ["companions", "read"]

UNSIGNED_BYTE = 8
CHUNK = 1 << 20


def companions(images: Path) -> tuple[Path, ...]:
    """The file of images and, where there is one beside it, the file of its labels."""
    stem = images.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    beside = (images.with_name(stem), images.with_name(stem + ".gz"))
    return (images, *[path for path in beside if path.is_file()][:1])


def read(split: str, files: tuple[Path, ...], decoder: Decoder) -> Part:
    """Images from the first file, labels from the second."""
    images = _array(files[0], dimensions=3)
    if not images.size:
        shape = "x".join(map(str, images.shape))
        raise TriptychError(f"{files[0]} holds no image (its shape is {shape}); save some in it")
    labels = None
    if len(files) > 1:
        labels = check_labels(_array(files[1], dimensions=1), len(images), files[1])
    return Part(len(images), decoder.array(images[..., None]), labels)


def _array(path: Path, dimensions: int) -> npt.NDArray[Any]:
    """The one array of an IDX file: two zero bytes, type, number of dimensions, sizes, values."""
    kind = f"an IDX file of {dimensions}-dimensional bytes"
    packed = path.stat().st_size
    zipped = path.suffix == ".gz"
    with foreign(path, kind), path.open("rb") as file:
        stream: BufferedIOBase = gzip.GzipFile(fileobj=file) if zipped else file
        magic = bytes([0, 0, UNSIGNED_BYTE, dimensions])
        found = stream.read(4)
        if found != magic:
            raise damaged(path, kind, f"it begins with {found.hex()}, not {magic.hex()}")
        header = stream.read(4 * dimensions)
        if len(header) < 4 * dimensions:
            raise damaged(path, kind, "its header is incomplete")
        sizes = [int(size) for size in np.frombuffer(header, dtype=">u4")]
        due = prod(sizes)
        if zipped:
            check_unpacked(path, packed, due, kind)
        elif packed != 4 + len(header) + due:
            raise damaged(path, kind, _not_due(packed - 4 - len(header), due))
        return _values(path, stream, due, kind).reshape(sizes)


def _values(path: Path, stream: BufferedIOBase, due: int, kind: str) -> npt.NDArray[np.uint8]:
    """As many bytes as the header says, and no more memory than they take."""
    out = np.empty(due, dtype=np.uint8)
    done = 0
    # One byte more is asked for at the end: a checksum is checked there, and none is due.
    while chunk := stream.read(min(CHUNK, due - done) or 1):
        if done == due:
            raise damaged(path, kind, f"more than the {due:,} bytes that are due")
        out[done : done + len(chunk)] = np.frombuffer(chunk, dtype=np.uint8)
        done += len(chunk)
    if done < due:
        raise damaged(path, kind, _not_due(done, due))
    return out


def _not_due(found: int, due: int) -> str:
    return f"{found:,} bytes where {due:,} are due"
