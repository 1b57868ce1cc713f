"""Parquet as on the Hugging Face hub: a struct column {bytes, path} and a column of labels.

The hub's `datasets` library writes into the schema what a column is, and the names of the classes.
Another file may list the same names in another order, so classes are matched by name over all files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from triptych.data.images import Decoder, Encoded
from triptych.data.names import as_text, few
from triptych.data.readers.columns import (
    HUB,
    KIND,
    Shard,
    image_column,
    is_text,
    label_column,
    open_shard,
    reading,
)
from triptych.data.readers.part import Part, Read, check_labels, damaged
from triptych.data.readers.shards import NUMBERED, Files
from triptych.errors import TriptychError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["reader"]


ROWS = 256
BATCH_BYTES = 16_000_000


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
    shards = {name: [open_shard(path) for path in paths] for name, paths in every.items()}
    flat = [shard for some in shards.values() for shard in some]
    notes = [*_lone_shard(flat), *_unreadable_schemas(flat)]
    image = image_column(flat, notes)
    label = label_column(flat, notes)
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


def _lone_shard(shards: Sequence[Shard]) -> Iterator[str]:
    match = NUMBERED.fullmatch(shards[0].path.stem)
    if len(shards) == 1 and match and int(match["total"]) > 1:
        yield f"this is one of {int(match['total']):,} files; their folder has all of them"


def _unreadable_schemas(shards: Sequence[Shard]) -> Iterator[str]:
    for shard in shards:
        if HUB in (shard.file.schema_arrow.metadata or {}) and not shard.features:
            yield (
                f"what the hub's library wrote into {as_text(shard.path.name)} cannot be read, "
                "so the file names no classes"
            )


def _encoded(shard: Shard, column: str) -> Iterator[Encoded]:
    """Every row's file, named by the shard and the row, and by the path that the row remembers."""
    row = 0
    size = shard.path.stat().st_size // max(1, shard.rows)
    rows = max(1, min(ROWS, BATCH_BYTES // max(1, size)))
    for value in _values(shard, column, rows):
        if row == shard.rows:
            raise damaged(shard.path, KIND, f"more than the {shard.rows:,} rows it tells of")
        value = value if isinstance(value, dict) else {"bytes": value}
        name = value.get("path") or f"row {row}"
        missing = "it has a path but no bytes" if value.get("path") else b""
        yield f"{shard.path.name}: {name}", value["bytes"] or missing
        row += 1
    if row < shard.rows:
        raise damaged(shard.path, KIND, f"{row:,} rows where {shard.rows:,} are due")


def _values(shard: Shard, column: str, rows: int) -> Iterator[Any]:
    """What a column holds, some rows at a time; pyarrow is at work only while they are fetched."""
    with reading(shard.path):
        batches = shard.file.iter_batches(rows, columns=[column])
    while True:
        with reading(shard.path):
            batch = next(batches, None)
            values = [] if batch is None else batch.column(0).to_pylist()
        if batch is None:
            return
        yield from values


def _split_labels(split: str, shards: Sequence[Shard], column: str) -> list[_Labels]:
    """The labels of each shard; none at all where the split has none."""
    found = [_shard_labels(shard, column) for shard in shards]
    labels = [part for part in found if part is not None]
    if labels and len(labels) < len(found):
        raise TriptychError(
            f"some but not all shards of {split} in {shards[0].path.parent} have labels"
        )
    return labels


def _shard_labels(shard: Shard, column: str) -> _Labels | None:
    """The labels of one file; None where there is no such column or nothing in it."""
    import pyarrow as pa

    if column not in shard.columns:
        return None
    with reading(shard.path):
        values = shard.file.read(columns=[column]).column(0).combine_chunks()
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if len(values) and values.null_count == len(values):
            return None
        if values.null_count:
            raise TriptychError(
                f"{values.null_count:,} labels in {shard.path} are missing; fill them in"
            )
        if is_text(values.type):
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


def _class_names(shard: Shard, column: str) -> tuple[str, ...] | None:
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
