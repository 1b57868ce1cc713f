"""Parquet files that are opened, and which of their columns hold images and labels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Any

from triptych.data.apart import at
from triptych.data.names import as_text, few
from triptych.data.readers.part import damaged, lacking
from triptych.errors import TriptychError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = [
    "HUB",
    "KIND",
    "Shard",
    "image_column",
    "is_text",
    "label_column",
    "open_shard",
    "reading",
]


KIND = "a Parquet file"
HUB = b"huggingface"
IMAGES = ("image", "img")
LABEL = "label"
LABELS = {
    *("labels", "target", "targets", "class", "classes", "category", "y", "digit"),
    *("fine_label", "coarse_label"),
}
"""Columns that are labels where there is no 'label', if only one of them is there."""
CIFAR100 = {"fine_label", "coarse_label"}
BUFFER_BYTES = 1 << 20


@dataclass(frozen=True)
class Shard:
    """One open file, and what its schema says of each column."""

    path: Path
    file: pq.ParquetFile
    columns: Mapping[str, pa.DataType]
    features: Mapping[str, Any]
    rows: int


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """A boundary to pyarrow: what it raises over a stranger's file is told as a damaged file.

    A damaged schema or page shows as almost any kind of exception, so all are taken.
    """
    try:
        with at(path.name):
            yield
    except TriptychError:
        raise
    except MemoryError as why:
        raise lacking(path, why) from why
    except Exception as why:
        raise damaged(path, KIND, _first_line(why)) from why


def open_shard(path: Path) -> Shard:
    """Open a file and read its schema."""
    import pyarrow.parquet as pq

    if not S_ISREG(path.stat().st_mode):
        raise damaged(path, KIND, "no regular file")
    path.open("rb").close()  # a file that is not ours to read says so by itself
    with reading(path):
        # With pre_buffer, the default, all of a file is in memory before its first row is.
        file = pq.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER_BYTES)
        schema = file.schema_arrow
        columns = {field.name: field.type for field in schema}
        if len(columns) < len(schema):
            raise damaged(path, KIND, f"two columns of one name: {few(sorted(schema.names))}")
        return Shard(path, file, columns, _features(schema.metadata), _rows(path, file.metadata))


def _rows(path: Path, metadata: pq.FileMetaData) -> int:
    """The number of rows, if both places that tell it agree.

    What the metadata say of a single column is not asked for: where that is damaged, pyarrow ends
    the process (an exception of C++ that its binding does not catch).
    """
    groups = [int(metadata.row_group(k).num_rows) for k in range(metadata.num_row_groups)]
    rows = sum(groups)
    if min(groups, default=0) < 0 or rows != metadata.num_rows:
        raise damaged(path, KIND, f"{metadata.num_rows:,} rows where its parts have {rows:,}")
    return rows


def _features(metadata: Mapping[bytes, bytes] | None) -> Mapping[str, Any]:
    """What the hub's library says of the columns; nothing where it cannot be read."""
    try:
        found = json.loads((metadata or {}).get(HUB, b"{}"))
    except (ValueError, RecursionError):
        return {}
    for name in ("info", "features"):
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        return {}
    return {name: told for name, told in found.items() if isinstance(told, dict)}


def image_column(shards: Sequence[Shard], notes: list[str]) -> str:
    """The column of encoded images: `image` or `img`, or the only one there is."""
    first = shards[0]
    found = [name for name, kind in first.columns.items() if _holds_files(kind)]
    found = [name for name in found if first.features.get(name, {}).get("_type") in (None, "Image")]
    plain = [name for name in IMAGES if name in found]
    if not plain and len(found) != 1:
        raise _no_images(first, found)
    chosen = plain[0] if plain else found[0]
    if chosen not in IMAGES:
        notes.append(f"the images are those in the column '{as_text(chosen)}'")
    if others := [name for name in found if name != chosen]:
        notes.append(f"left out other columns of images than '{chosen}': {few(others)}")
    for shard in shards:
        if chosen not in shard.columns or not _holds_files(shard.columns[chosen]):
            raise _no_images(shard, [])
    return chosen


def _holds_files(kind: pa.DataType) -> bool:
    """Whether a column is of bytes, or of structs with a field `bytes`."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and _holds_files(kind.field(place).type)
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or (hasattr(pa.types, "is_binary_view") and pa.types.is_binary_view(kind))
    )


def _no_images(shard: Shard, several: Sequence[str]) -> TriptychError:
    if several:
        return TriptychError(
            f"{shard.path} has several columns of images ({few(several)}) and none of them is "
            "'image' or 'img'; name the one to use so"
        )
    columns = ", ".join(f"{as_text(name)}: {kind}" for name, kind in shard.columns.items())
    return TriptychError(
        f"{shard.path} has no column 'image' or 'img' of encoded images (it has {columns}); "
        "name one so, with a struct {bytes, path} in each row"
    )


def label_column(shards: Sequence[Shard], notes: list[str]) -> str | None:
    """The column of labels: `label`, or the only one that is named or described as one."""
    kinds = {name: kind for shard in reversed(shards) for name, kind in shard.columns.items()}
    described = {
        name
        for shard in shards
        for name, told in shard.features.items()
        if told.get("_type") == "ClassLabel"
    }
    found = sorted(n for n in kinds if n == LABEL or n.lower() in LABELS or n in described)
    usable = [name for name in found if _names_classes(kinds[name])]
    for name in sorted(set(found) - set(usable)):
        notes.append(
            f"the column '{as_text(name)}' of type {kinds[name]} gives no image one class, so it "
            "was not taken for labels"
        )
    if not usable:
        return None
    if LABEL in usable:
        chosen = LABEL
    elif len(usable) == 1:
        chosen = usable[0]
    elif set(usable) == CIFAR100:
        chosen = "fine_label"
    else:
        raise TriptychError(
            f"{shards[0].path} has several columns of labels ({few(usable)}); "
            f"name the one to use '{LABEL}'"
        )
    if chosen != LABEL:
        notes.append(f"the labels are those in the column '{as_text(chosen)}'")
    if others := [name for name in usable if name != chosen]:
        notes.append(f"left out other columns of labels than '{as_text(chosen)}': {few(others)}")
    return chosen


def _names_classes(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_null(kind)
        or is_text(kind)
    )


def is_text(kind: pa.DataType) -> bool:
    """Whether a column is of strings."""
    import pyarrow as pa

    view = hasattr(pa.types, "is_string_view") and pa.types.is_string_view(kind)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or view)


def _first_line(why: BaseException) -> str:
    return as_text(str(why).partition("\n")[0].rstrip(".")) or type(why).__name__
