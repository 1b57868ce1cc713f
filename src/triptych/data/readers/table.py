"""Parquet as on the Hugging Face hub: a struct column {bytes, path} and a column of labels.

The hub's `datasets` library writes into the schema what a column is, and the names of the classes.
Another file may list the same names in another order, so classes are matched by name over all files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from triptych.data.images import Decoder, Encoded
from triptych.data.names import as_text, few
from triptych.data.readers.part import Part, Read, check_labels, damaged
from triptych.data.readers.shards import NUMBERED, Files
from triptych.errors import TriptychError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["reader"]

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
ROWS = 256
BATCH_BYTES = 16_000_000
BUFFER_BYTES = 1 << 20


@dataclass(frozen=True)
class _Shard:
    """One open file, and what its schema says of each column."""

    path: Path
    file: pq.ParquetFile
    columns: Mapping[str, pa.DataType]
    features: Mapping[str, Any]
    rows: int


@dataclass(frozen=True)
class _Labels:
    """The labels of one file: numbers, and the names that they count if there are such.

    ``strings`` tells that the names are the values of the column, in no order that means anything.
    """

    numbers: npt.NDArray[np.int64]
    names: tuple[str, ...] | None
    strings: bool = False


def reader(every: Files) -> Read:
    """Reads one split of the files; all of them decide about columns and classes."""
    return partial(_read, every=every)


def _read(split: str, files: tuple[Path, ...], decoder: Decoder, every: Files) -> Part:
    """The images of all shards, in the order of their names."""
    shards = {name: [_open(path) for path in paths] for name, paths in every.items()}
    flat = [shard for some in shards.values() for shard in some]
    notes = [*_lone_shard(flat), *_unreadable_schemas(flat)]
    image = _image_column(flat, notes)
    label = _label_column(flat, notes)
    count = sum(shard.rows for shard in shards[split])
    encoded = (row for shard in shards[split] for row in _encoded(shard, image))
    if label is None:
        return Part(count, decoder.encoded(encoded), notes=tuple(notes))
    found = {name: _split_labels(name, some, label) for name, some in shards.items()}
    classes = _classes([part for some in found.values() for part in some], notes)
    labels = None
    if found[split]:
        numbers = [
            _renumber(shard.path, part, classes)
            for shard, part in zip(shards[split], found[split], strict=True)
        ]
        labels = check_labels(np.concatenate(numbers), count, files[0])
    return Part(count, decoder.encoded(encoded), labels, classes, tuple(notes))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """A boundary to pyarrow: what it raises over a stranger's file is told as a damaged file.

    A damaged schema or page shows as almost any kind of exception, so all are taken.
    """
    try:
        yield
    except TriptychError:
        raise
    except Exception as why:
        raise damaged(path, KIND, _first_line(why)) from why


def _open(path: Path) -> _Shard:
    import pyarrow.parquet as pq

    if not S_ISREG(path.stat().st_mode):
        raise damaged(path, KIND, "no regular file")
    path.open("rb").close()  # a file that is not ours to read says so by itself
    with _reading(path):
        # With pre_buffer, the default, all of a file is in memory before its first row is.
        file = pq.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER_BYTES)
        schema = file.schema_arrow
        columns = {field.name: field.type for field in schema}
        if len(columns) < len(schema):
            raise damaged(path, KIND, f"two columns of one name: {few(sorted(schema.names))}")
        return _Shard(path, file, columns, _features(schema.metadata), _rows(path, file.metadata))


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


def _lone_shard(shards: Sequence[_Shard]) -> Iterator[str]:
    match = NUMBERED.fullmatch(shards[0].path.stem)
    if len(shards) == 1 and match and int(match["total"]) > 1:
        yield f"this is one of {int(match['total']):,} files; their folder has all of them"


def _unreadable_schemas(shards: Sequence[_Shard]) -> Iterator[str]:
    for shard in shards:
        if HUB in (shard.file.schema_arrow.metadata or {}) and not shard.features:
            yield (
                f"what the hub's library wrote into {as_text(shard.path.name)} cannot be read, "
                "so the file names no classes"
            )


def _image_column(shards: Sequence[_Shard], notes: list[str]) -> str:
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


def _no_images(shard: _Shard, several: Sequence[str]) -> TriptychError:
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


def _label_column(shards: Sequence[_Shard], notes: list[str]) -> str | None:
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
        or _is_text(kind)
    )


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    view = hasattr(pa.types, "is_string_view") and pa.types.is_string_view(kind)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or view)


def _encoded(shard: _Shard, column: str) -> Iterator[Encoded]:
    """Every row's file, named by the shard and the row, and by the path that the row remembers."""
    row = 0
    size = shard.path.stat().st_size // max(1, shard.rows)
    rows = max(1, min(ROWS, BATCH_BYTES // max(1, size)))
    with _reading(shard.path):
        for batch in shard.file.iter_batches(rows, columns=[column]):
            for value in batch.column(0).to_pylist():
                if row == shard.rows:
                    raise damaged(
                        shard.path, KIND, f"more than the {shard.rows:,} rows it tells of"
                    )
                value = value if isinstance(value, dict) else {"bytes": value}
                name = value.get("path") or f"row {row}"
                missing = "it has a path but no bytes" if value.get("path") else b""
                yield f"{shard.path.name}: {name}", value["bytes"] or missing
                row += 1
        if row < shard.rows:
            raise damaged(shard.path, KIND, f"{row:,} rows where {shard.rows:,} are due")


def _split_labels(split: str, shards: Sequence[_Shard], column: str) -> list[_Labels]:
    """The labels of each shard; none at all where the split has none."""
    found = [_shard_labels(shard, column) for shard in shards]
    labels = [part for part in found if part is not None]
    if labels and len(labels) < len(found):
        raise TriptychError(
            f"some but not all shards of {split} in {shards[0].path.parent} have labels"
        )
    return labels


def _shard_labels(shard: _Shard, column: str) -> _Labels | None:
    """The labels of one file; None where there is no such column or nothing in it."""
    import pyarrow as pa

    if column not in shard.columns:
        return None
    with _reading(shard.path):
        values = shard.file.read(columns=[column]).column(0).combine_chunks()
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if len(values) and values.null_count == len(values):
            return None
        if values.null_count:
            raise TriptychError(
                f"{values.null_count:,} labels in {shard.path} are missing; fill them in"
            )
        if _is_text(values.type):
            coded = values.cast(pa.large_string()).dictionary_encode()
            names = tuple(coded.dictionary.to_pylist())
            return _Labels(coded.indices.to_numpy().astype(np.int64), names, strings=True)
        return _Labels(_whole_numbers(shard.path, values), _class_names(shard, column))


def _whole_numbers(path: Path, values: pa.Array) -> npt.NDArray[np.int64]:
    numbers: npt.NDArray[Any] = values.to_numpy(zero_copy_only=False)
    if numbers.dtype.kind == "f" and not (
        np.isfinite(numbers).all() and (np.rint(numbers) == numbers).all()
    ):
        raise TriptychError(
            f"the labels in {path} are of type {numbers.dtype} and not all whole; "
            "write them as integers from 0"
        )
    largest = np.iinfo(np.int64).max
    if numbers.size and not -largest <= float(numbers.max()) < largest:
        raise TriptychError(f"the labels in {path} do not fit 64 bits; number the classes from 0")
    return numbers.astype(np.int64)


def _class_names(shard: _Shard, column: str) -> tuple[str, ...] | None:
    """The class names that the hub's `datasets` library writes into the schema."""
    names = shard.features.get(column, {}).get("names")
    if not isinstance(names, list) or not names:
        return None
    if not all(isinstance(name, str | int | float) for name in names):
        return None
    return tuple(str(name) for name in names)


def _classes(every: Sequence[_Labels], notes: list[str]) -> tuple[str, ...] | None:
    """The names of all classes: as the first file lists them, then what others add, then strings."""
    listed = [part.names for part in every if part.names and not part.strings]
    values = sorted({name for part in every if part.strings for name in part.names or ()})
    names = tuple(dict.fromkeys(as_text(n) for some in (*listed, tuple(values)) for n in some))
    if not names:
        return None
    if not listed and any(part.names is None for part in every):
        raise TriptychError(
            "some files have numbers for labels and some have words; give all of them one or the other"
        )
    if any(some != listed[0] for some in listed):
        notes.append("the files list their classes in different ways; they were matched by name")
    if listed and any(part.names is None for part in every):
        notes.append("some files do not name their classes; their numbers were taken for the same")
    return names


def _renumber(
    path: Path, labels: _Labels, classes: tuple[str, ...] | None
) -> npt.NDArray[np.int64]:
    """The labels as places in `classes`; −1 stays, the hub's way to hold a label back."""
    if classes is None:
        return labels.numbers
    names = classes if labels.names is None else tuple(map(as_text, labels.names))
    _refuse_twice(path, names)
    largest = int(labels.numbers.max(initial=-1))
    if largest >= len(names):
        raise TriptychError(
            f"{path} has the label {largest} and names only {len(names)} classes "
            f"({few(names)}); correct one of the two"
        )
    place = {name: number for number, name in enumerate(classes)}
    places = np.array([place[name] for name in names], dtype=np.int64)
    return np.where(labels.numbers < 0, labels.numbers, places[labels.numbers])


def _refuse_twice(path: Path, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise TriptychError(f"{path} names two classes '{name}'; give each a name of its own")
        seen.add(name)


def _first_line(why: BaseException) -> str:
    return as_text(str(why).partition("\n")[0].rstrip(".")) or type(why).__name__
