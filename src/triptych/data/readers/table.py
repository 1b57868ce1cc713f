"""Parquet as on the Hugging Face hub: a struct column {bytes, path} and an integer label."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from triptych.data.images import Decoder, Encoded
from triptych.data.readers.part import Part, check_labels, damaged
from triptych.errors import TriptychError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["read"]

KIND = "a Parquet file"
IMAGES = ("image", "img")
LABEL = "label"
ROWS = 256


def read(split: str, files: tuple[Path, ...], decoder: Decoder) -> Part:
    """The images of all shards, in the order of their names."""
    shards = [(path, _open(path)) for path in files]
    columns = {path: _image_column(path, shard.schema_arrow) for path, shard in shards}
    count = sum(shard.metadata.num_rows for _, shard in shards)
    encoded = (image for path, shard in shards for image in _encoded(path, shard, columns[path]))
    found = [_labels(path, shard) for path, shard in shards]
    labels = [part for part in found if part is not None]
    if labels and len(labels) < len(found):
        raise TriptychError(f"some but not all shards of {split} in {files[0].parent} have labels")
    return Part(
        count,
        decoder.encoded(encoded),
        check_labels(np.concatenate(labels), count, files[0]) if labels else None,
        _class_names(shards[0][1].schema_arrow),
    )


def _open(path: Path) -> pq.ParquetFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as why:
        raise damaged(path, KIND, _first_line(why)) from why


def _image_column(path: Path, schema: pa.Schema) -> str:
    """The column `image` or `img` of encoded images: a struct with `bytes`, or bytes alone."""
    import pyarrow as pa

    for name in IMAGES:
        if name in schema.names:
            kind = schema.field(name).type
            if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
                return name
            if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
                return name
    columns = ", ".join(f"{field.name}: {field.type}" for field in schema)
    raise TriptychError(
        f"{path} has no column 'image' or 'img' of encoded images (it has {columns}); "
        "name one so, with a struct {bytes, path} in each row"
    )


def _encoded(path: Path, shard: pq.ParquetFile, column: str) -> Iterator[Encoded]:
    """Every row's file, named by the shard and the row, and by the path that the row remembers."""
    import pyarrow as pa

    row = 0
    try:
        for batch in shard.iter_batches(ROWS, columns=[column]):
            for value in batch.column(0).to_pylist():
                value = value if isinstance(value, dict) else {"bytes": value}
                name = value.get("path") or f"row {row}"
                yield f"{path.name}: {name}", value["bytes"] or b""
                row += 1
    except (pa.ArrowException, OSError) as why:
        raise damaged(path, KIND, _first_line(why)) from why


def _labels(path: Path, shard: pq.ParquetFile) -> npt.NDArray[Any] | None:
    import pyarrow as pa

    if LABEL not in shard.schema_arrow.names:
        return None
    try:
        column = shard.read(columns=[LABEL]).column(0)
    except (pa.ArrowException, OSError) as why:
        raise damaged(path, KIND, _first_line(why)) from why
    if column.null_count:
        raise TriptychError(f"{column.null_count:,} labels in {path} are missing; fill them in")
    labels: npt.NDArray[Any] = column.to_numpy()
    return labels


def _class_names(schema: pa.Schema) -> tuple[str, ...] | None:
    """The class names that the hub's `datasets` library writes into the schema."""
    written = (schema.metadata or {}).get(b"huggingface")
    if written is None:
        return None
    features = json.loads(written).get("info", {}).get("features", {})
    names = features.get(LABEL, {}).get("names")
    return tuple(names) if names else None


def _first_line(why: BaseException) -> str:
    return str(why).partition("\n")[0].rstrip(".")
