"""A data set decoded into a folder: pixels, labels and digests of each split, and meta.json, which describes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from functools import partial
from io import BytesIO, FileIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from triptych.data.images import Decoder
from triptych.data.picture import Fit, Pixels
from triptych.data.readers.npy_format import mapped
from triptych.data.readers.part import Meanings, Part
from triptych.data.sources import Source
from triptych.data.spec import Images, Values
from triptych.errors import DamagedError, TriptychError, machine
from triptych.files import put, write
from triptych.progress import Progress

__all__ = ["open_split", "write_decoded"]


CHUNK = 4096
NAMED_IN_NOTES = 12


def write_decoded(
    folder: Path, source: Source, fit: Fit, shuffle: Collection[str], progress: Progress
) -> None:
    """Decode every split into the folder, then describe them in meta.json.

    What level is white may show only when all levels have been seen; then they are read once more.
    """
    decoder = Decoder(fit)
    classes, notes = _write_splits(folder, source, decoder, shuffle, progress)
    if (white := decoder.scale()) is not None:
        decoder = Decoder(fit, white)
        classes, notes = _write_splits(folder, source, decoder, shuffle, progress)
    splits = {split: open_split(folder, split) for split in source.files}
    meta: dict[str, Any] = {
        "splits": list(splits),
        "classes": classes,
        "values": _values(splits),
        "fingerprint": _fingerprint(splits),
        "jpegs": decoder.jpegs,
        "notes": notes,
        "source": str(source.root),
        "sizes": {path.name: path.stat().st_size for path in folder.iterdir()},
    }
    write(folder / "meta.json", json.dumps(meta, indent=1))


def _write_splits(
    folder: Path,
    source: Source,
    decoder: Decoder,
    shuffle: Collection[str],
    progress: Progress,
) -> tuple[tuple[str, ...] | None, list[str]]:
    """Every split through one decoder; the names of the classes and the notes."""
    classes: tuple[str, ...] | None = None
    labels: dict[str, npt.NDArray[np.int64]] = {}
    whites: dict[str, int] = {}
    notes: dict[str, None] = {}
    for split, files in source.files.items():
        part = source.read(split, files, decoder)
        if not part.count:
            raise TriptychError(f"the split '{split}' of {source.root} has no image; add some")
        order = _rows(part.count) if split in shuffle else np.arange(part.count)
        keep = _write_pixels(folder, split, part, order, decoder, progress)
        if part.labels is not None:
            placed = np.empty_like(part.labels)
            placed[order] = part.labels
            labels[split] = placed[keep]
        if part.white is not None:
            whites[split] = part.white
        classes = classes or part.classes
        notes |= dict.fromkeys(part.notes)
    decoder.finish(str(source.root))
    _check_one_white(whites, source.root)
    if labels:
        labels, classes, more = _numbered(labels, classes, source.meanings)
        notes |= dict.fromkeys(more)
        bare = [split for split in source.files if split not in labels]
        notes |= {f"the images of {' and '.join(bare)} have no labels": None} if bare else {}
    for split, numbers in labels.items():
        _save(folder / f"{split}.labels.npy", numbers)
    return classes, [*notes, *decoder.notes()]


def _write_pixels(
    folder: Path,
    split: str,
    part: Part,
    order: npt.NDArray[np.int64],
    decoder: Decoder,
    progress: Progress,
) -> npt.NDArray[np.bool_]:
    """Blocks to their rows on the disk, so that a set larger than memory can be decoded; which rows are kept."""
    begin = done = 0
    digests = np.empty(part.count, dtype=np.uint64)
    with (folder / f"{split}.npy").open("wb", buffering=0) as file:
        for block in part.blocks:
            rows = order[done : done + len(block)]
            if not begin:
                begin = _begin(file, (part.count, *block.shape[1:]))
            _put(file, begin, rows, block)
            digests[rows] = [_image_digest(image) for image in block]
            done += len(block)
            progress(f"reading {split} (images)", done, part.count)
    keep = np.ones(part.count, dtype=bool)
    if decoder.gaps and decoder.fit.skip_broken:
        keep[order[decoder.gaps]] = False
        _keep_rows(folder, split, keep)
    _save(folder / f"{split}.digests.npy", digests[keep])
    return keep


def _keep_rows(folder: Path, split: str, keep: npt.NDArray[np.bool_]) -> None:
    """Write a split's array again without the rows of the images that were left out."""
    if not keep.any():
        raise TriptychError(f"no image of the split '{split}' decodes; give images that do")
    path = folder / f"{split}.npy"
    every = np.load(path, mmap_mode="r")
    fewer = folder / f"{split}.fewer.npy"
    with fewer.open("wb", buffering=0) as file:
        begin, done = _begin(file, (int(keep.sum()), *every.shape[1:])), 0
        for start in range(0, len(every), CHUNK):
            rows = every[start : start + CHUNK][keep[start : start + CHUNK]]
            _put(file, begin, np.arange(done, done + len(rows)), rows)
            done += len(rows)
    del every
    fewer.replace(path)


def _begin(file: FileIO, shape: tuple[int, ...]) -> int:
    """Write the head of an .npy file of bytes; where its first row begins."""
    head = BytesIO()
    told = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(head, told)
    with machine("write", Path(file.name)):
        put(file, head.getbuffer())
    return len(head.getbuffer())


def _put(file: FileIO, begin: int, rows: npt.NDArray[np.int64], block: Pixels) -> None:
    """Write images to their rows of a file.

    Not through a memory map: where the disk is full, that kills the process with a signal.
    """
    if not len(block):
        return
    block = np.ascontiguousarray(block)
    each = block[0].nbytes
    # Rows that follow each other, all in most sets, go in one piece.
    ends = [*(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
    start = 0
    with machine("write", Path(file.name)):
        for end in ends:
            file.seek(begin + int(rows[start]) * each)
            put(file, block[start:end].reshape(-1).data)
            start = end


def _save(path: Path, array: npt.NDArray[Any]) -> None:
    packed = BytesIO()
    np.save(packed, array)
    write(path, packed.getvalue())


def _image_digest(image: Pixels) -> int:
    """64 bits: two different images of a million have the same with probability 3e-8."""
    data = np.ascontiguousarray(image).data
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def _check_one_white(whites: Mapping[str, int], root: Path) -> None:
    """Levels 0 to 255 in one split and nothing but 0 and 1 in another cannot mean the same."""
    if len(set(whites.values())) > 1:
        bits = " and ".join(split for split, white in whites.items() if white == 1)
        levels = " and ".join(split for split, white in whites.items() if white != 1)
        raise TriptychError(
            f"the images of {bits} in {root} are nothing but 0 and 1, and those of {levels} are not; "
            "save all of them as uint8 from 0 to 255"
        )


def _numbered(
    labels: Mapping[str, npt.NDArray[np.int64]],
    classes: tuple[str, ...] | None,
    meanings: Meanings | None,
) -> tuple[dict[str, npt.NDArray[np.int64]], tuple[str, ...] | None, list[str]]:
    """Labels as numbers from 0, the same number for the same value in every split; names; notes.

    Labels that count in the names of the classes stay, and so do all numbers from 0 to K - 1. Else the
    classes are the values that occur, in their order, each its own name: a class may be called 3,000,000,007.
    """
    values = np.unique(np.concatenate(list(labels.values())))
    meant, note = meanings(values) if meanings else (values, None)
    notes = [note] if note else []
    occurring = np.unique(meant)
    if classes is not None and occurring[-1] >= len(classes):
        notes.append(
            f"{len(classes)} names of classes were left, since labels go up to {occurring[-1]}"
        )
        classes = None
    numbers = meant
    if classes is None and occurring[-1] != len(occurring) - 1:
        numbers = np.searchsorted(occurring, meant).astype(np.int64)
        classes = tuple(map(str, occurring.tolist()))
        listed = ", ".join(classes[:NAMED_IN_NOTES])
        more = ", ..." if len(classes) > NAMED_IN_NOTES else ""
        notes.append(
            f"the classes are the {len(classes):,} values that occur as labels: {listed}{more}"
        )
    if 1 < len(occurring) == sum(map(len, labels.values())):
        notes.append(
            "no two images have the same label, so the labels tell images apart, not classes"
        )
    found = {split: numbers[np.searchsorted(values, old)] for split, old in labels.items()}
    return found, classes, notes


def _rows(count: int) -> npt.NDArray[np.int64]:
    """The row to which each of `count` images goes, always the same for the same count."""
    # The legacy generator: numpy promises that its numbers never change.
    return np.random.RandomState(0).permutation(count).astype(np.int64)


def _values(splits: Mapping[str, Images]) -> Values:
    every = [images.pixels for images in splits.values()]
    if all(_binary(pixels) for pixels in every):
        return "binary"
    return "grey" if every[0].shape[1] == 1 else "colour"


def _binary(pixels: Pixels) -> bool:
    """Whether there is nothing but 0 and 255; gives up at the first chunk that has more."""
    chunks = (pixels[start : start + CHUNK] for start in range(0, len(pixels), CHUNK))
    return all(bool(((chunk == 0) | (chunk == 255)).all()) for chunk in chunks)


def _fingerprint(splits: Mapping[str, Images]) -> str:
    """The same for the same pixels and labels in the same order, whatever files they came in."""
    told = hashlib.sha256()
    for split, images in sorted(splits.items()):
        told.update(f"{split} {images.pixels.shape}".encode())
        told.update(images.pixels.data)
        if images.labels is not None:
            told.update(images.labels.tobytes())
    return told.hexdigest()[:16]


def open_split(place: Path, split: str) -> Images:
    """A split of the folder, its pixels memory-mapped. Raises `TriptychError` for arrays that are not those of a split."""
    pixels = _kept(place / f"{split}.npy", "uint8", 4)
    if pixels.shape[1] not in (1, 3):
        raise DamagedError(place / f"{split}.npy", f"it is {pixels.shape}", "delete it")
    labels = place / f"{split}.labels.npy"
    one_each = partial(_kept, dimensions=1, count=len(pixels))
    return Images(
        pixels,
        np.array(one_each(labels, "int64")) if labels.is_file() else None,
        np.array(one_each(place / f"{split}.digests.npy", "uint64")),
    )


def _kept(path: Path, kind: str, dimensions: int, count: int | None = None) -> npt.NDArray[Any]:
    """An array of this type and so many dimensions, of ``count`` rows if a number is due."""
    found = mapped(path)
    right = found.dtype == kind and found.ndim == dimensions and count in (None, len(found))
    if not right or not found.size:
        raise DamagedError(path, f"it is {found.shape} of {found.dtype}", "delete it")
    return found
