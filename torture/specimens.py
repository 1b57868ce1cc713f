"""Specimens of the kinds of files that data come in, a few images each: what attacks damage, and tests too."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import damage
import numpy as np
from PIL import Image

__all__ = [
    "FOREIGN",
    "GREY",
    "IMAGES",
    "LABELS",
    "PICTURES",
    "archives",
    "header",
    "idx_bytes",
    "mats",
    "picture",
    "tables",
    "zipped",
]

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
GREY = IMAGES[..., 0]
LABELS = np.arange(20) % 10

PICTURES = {
    "png": ("PNG", ("L", "RGB", "RGBA", "P", "1", "I;16", "LA")),
    "jpg": ("JPEG", ("L", "RGB", "CMYK")),
    "gif": ("GIF", ("L", "P")),
    "bmp": ("BMP", ("L", "RGB", "P", "1")),
    "tif": ("TIFF", ("L", "RGB", "I;16", "F", "CMYK", "LAB")),
    "webp": ("WEBP", ("RGB", "RGBA")),
    "ppm": ("PPM", ("L", "RGB", "1", "I;16")),
    "tga": ("TGA", ("L", "RGB", "RGBA", "P")),
    "jp2": ("JPEG2000", ("L", "RGB")),
    "avif": ("AVIF", ("RGB",)),
}
"""Formats of a folder of images."""

FOREIGN = ("ICO", "DDS", "EPS", "PCX", "SGI")
"""Formats that are not read, whatever their suffix; nor may they do harm."""


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of these members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, inner in members.items():
            file.writestr(name, inner)
    return out.getvalue()


def header(shape: str, descr: str = "'|u1'", fortran: str = "False") -> bytes:
    """The header of an .npy that says this, true or not."""
    text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def archives() -> list[bytes]:
    """.npz of several layouts."""
    images, labels = damage.array_bytes(IMAGES), damage.array_bytes(LABELS)
    words = damage.array_bytes(np.array(["a", "b"])[LABELS % 2])
    one_hot = damage.array_bytes(np.eye(10)[LABELS])
    names = damage.array_bytes(np.array([f"c{k}" for k in range(10)]))
    return [
        zipped({"x.npy": images, "y.npy": labels}),
        zipped({"x.npy": images, "y.npy": labels}, zipfile.ZIP_STORED),
        zipped(
            {"x_train.npy": images, "y_train.npy": words, "x_test.npy": images, "y_test.npy": words}
        ),
        zipped(
            {
                "images.npy": images,
                "labels.npy": one_hot,
                "label_names.npy": names,
                "x_masks.npy": images,
            }
        ),
    ]


def idx_bytes(values: np.ndarray) -> bytes:
    """An IDX file of bytes."""
    head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    return head + values.tobytes()


def mats() -> list[bytes]:
    """MATLAB files as SVHN has them: plain, compressed, and every element compressed by itself."""
    from scipy.io import savemat

    def mat(compressed: bool) -> bytes:
        out = io.BytesIO()
        held = {"X": IMAGES.transpose(1, 2, 3, 0), "y": (LABELS + 1).astype(np.uint8)[:, None]}
        savemat(out, held, do_compression=compressed)
        return out.getvalue()

    plain, elements, place = mat(False), [mat(False)[:128]], 128
    while place + 8 <= len(plain):
        size = int.from_bytes(plain[place + 4 : place + 8], "little")
        element = zlib.compress(plain[place : place + 8 + size])
        elements.append(np.array([15, len(element)], "<u4").tobytes() + element)
        place += 8 + size
    return [plain, mat(True), b"".join(elements)]


def tables() -> list[bytes]:
    """Small Parquet files, each of another kind inside."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [{"bytes": picture("PNG", "L"), "path": f"{k}.png"} for k in range(20)]
    held = {"image": pa.array(rows, struct), "label": [k % 2 for k in range(20)]}
    features = {"image": {"_type": "Image"}, "label": {"names": ["a", "b"], "_type": "ClassLabel"}}
    named = pa.table(held).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    words = pa.table(
        held | {"label": pa.array([["x", "yy"][k % 2] for k in range(20)]).dictionary_encode()}
    )

    def written(of: Any, **options: Any) -> bytes:
        out = io.BytesIO()
        pq.write_table(of, out, **options)
        return out.getvalue()

    return [
        written(named, compression="none", use_dictionary=False),
        written(named, row_group_size=7),
        written(named, compression="zstd", data_page_version="2.0"),
        written(words, compression="gzip"),
        written(named, write_page_checksum=True, store_schema=False),
    ]


def picture(kind: str, mode: str) -> bytes:
    """An image of a format, in one of its modes."""
    levels = np.random.default_rng(1).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    if mode == "F":
        image = Image.fromarray((levels[..., 0] / 255).astype(np.float32))
    elif mode == "I;16":
        image = Image.fromarray(levels[..., 0].astype(np.uint16) * 257)
    elif mode == "LAB":
        image = Image.frombytes("LAB", (12, 12), levels.tobytes())
    else:
        image = Image.fromarray(levels).convert(mode)
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()
