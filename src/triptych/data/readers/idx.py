"""IDX files, the format in which MNIST and Fashion-MNIST were published; plain or gzipped."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from triptych.data.images import Decoder
from triptych.data.readers.part import Part, check_labels, damaged

__all__ = ["companions", "read"]

UNSIGNED_BYTE = 8


def companions(images: Path) -> tuple[Path, ...]:
    """The file of images and, where there is one beside it, the file of its labels."""
    stem = images.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    beside = (images.with_name(stem), images.with_name(stem + ".gz"))
    return (images, *[path for path in beside if path.is_file()][:1])


def read(split: str, files: tuple[Path, ...], decoder: Decoder) -> Part:
    """Images from the first file, labels from the second."""
    images = _array(files[0], dimensions=3)
    labels = None
    if len(files) > 1:
        labels = check_labels(_array(files[1], dimensions=1), len(images), files[1])
    return Part(len(images), decoder.array(images[..., None]), labels)


def _array(path: Path, dimensions: int) -> npt.NDArray[Any]:
    """The one array of an IDX file: two zero bytes, type, number of dimensions, sizes, values."""
    kind = f"an IDX file of {dimensions}-dimensional bytes"
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
    except (gzip.BadGzipFile, EOFError, zlib.error) as why:
        raise damaged(path, kind, why) from why
    magic = bytes([0, 0, UNSIGNED_BYTE, dimensions])
    header = 4 + 4 * dimensions
    if data[:4] != magic:
        raise damaged(path, kind, f"it begins with {data[:4].hex()}, not {magic.hex()}")
    if len(data) < header:
        raise damaged(path, kind, "its header is incomplete")
    sizes = np.frombuffer(data, dtype=">u4", count=dimensions, offset=4).astype(np.int64)
    if len(data) - header != sizes.prod():
        raise damaged(path, kind, f"{len(data) - header:,} bytes where {sizes.prod():,} are due")
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(sizes)
