"""Which files at a path make up a data set, and the reader that fits them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from triptych.data.names import few
from triptych.data.readers import amat, arrays, folder, idx, mat, table
from triptych.data.readers.part import SPLITS, Read
from triptych.data.readers.shards import Files, files_by_split, nested_files
from triptych.errors import TriptychError

__all__ = ["Source", "source_at", "tabular_source"]


@dataclass(frozen=True)
class Source:
    """The files of every split, in order, and how to read them; nothing has been decoded yet.

    ``root`` is the path that errors name; ``ignored`` counts files that are not part of the data;
    ``notes`` say, a sentence each, what was taken where there was a choice, and what was left.
    """

    root: Path
    files: Mapping[str, tuple[Path, ...]]
    read: Read
    ignored: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Format:
    """One kind of file that holds many images: how its name tells it, and its reader."""

    suffix: str
    in_folder: str | None
    read: Read
    with_companions: Callable[[Path], tuple[Path, ...]] | None = None
    splits: Callable[[Path], tuple[str, ...]] | None = None


PARQUET = ".parquet"
FORMATS = (
    _Format(
        r"idx3-ubyte(\.gz)?",
        r"(?:.+-)?(?P<split>train|valid|test|t10k)-images[-.]idx3-ubyte(?:\.gz)?",
        idx.read,
        with_companions=idx.companions,
    ),
    _Format(r"\.mat", r"(?P<split>train|test)_32x32\.mat", mat.read),
    _Format(r"\.amat", r"(?:.+_)?(?P<split>train|valid|test)\.amat", amat.read),
    _Format(r"\.npy", None, arrays.read_npy),
    _Format(r"\.npz", None, arrays.read_npz, splits=arrays.splits_of_npz),
)


def source_at(path: Path) -> Source:
    """The data set at a path: one file, a folder of such files, or a folder of images."""
    if path.is_dir():
        return tabular_source(path) or _nested_tables(path) or _folder_of_images(path)
    if path.suffix.lower() == PARQUET:
        files = {"train": (path,)}
        return Source(path, files, table.reader(files))
    for kind in FORMATS:
        if re.search(kind.suffix + "$", path.name):
            splits = kind.splits(path) if kind.splits else ("train",)
            return Source(path, dict.fromkeys(splits, _with_companions(kind, path)), kind.read)
    raise TriptychError(
        f"{path} is not a kind of file that holds many images "
        "(.npy, .npz, .parquet, .mat, .amat, IDX); give such a file or a folder of images"
    )


def tabular_source(root: Path) -> Source | None:
    """The data set in a folder whose file names follow one of the formats; None if none does."""
    names = _visible(root)
    for kind in FORMATS:
        found = _by_split(kind, names)
        if not found:
            continue
        _need_train(root, found)
        return _of_files(root, names, found, kind.read)
    found, remark = files_by_split(root, names)
    # A table of no split beside images tells of them; the images are the data.
    if not found or (remark and folder.holds_images(root)):
        return None
    return _tables(root, names, found, remark)


def _tables(root: Path, names: list[Path], found: Files, remark: str) -> Source:
    _need_train(root, found)
    return _of_files(root, names, found, table.reader(_ordered(found)), remark)


def _ordered(found: Files) -> Files:
    return {split: found[split] for split in SPLITS.values() if split in found}


def _need_train(root: Path, found: Files) -> None:
    if "train" not in found:
        raise TriptychError(
            f"{root} has files for {' and '.join(found)} but none for train; add train"
        )


def _of_files(root: Path, names: list[Path], found: Files, read: Read, remark: str = "") -> Source:
    """The source of the files that were found among others in a folder."""
    used = {path for files in found.values() for path in files}
    left = [path.name for path in names if path not in used]
    notes = [remark] if remark else []
    if left:
        notes.append(f"left out beside the data in {root}: {few(left)}")
    return Source(root, _ordered(found), read, ignored=len(left), notes=tuple(notes))


def _nested_tables(root: Path) -> Source | None:
    """Parquet files in folders within the folder, as the hub lays out a repository."""
    if folder.holds_images(root):
        return None
    nested = nested_files(root)
    if nested is None:
        return None
    where, found, remark = nested
    beside = [path for path in _visible(where) if path.is_file()]
    return _tables(where, beside, found, remark)


def _visible(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if not path.name.startswith("."))


def _by_split(kind: _Format, paths: list[Path]) -> dict[str, tuple[Path, ...]]:
    """The files of each split; the first one counts."""
    if kind.in_folder is None:
        return {}
    found: dict[str, list[Path]] = {}
    for path in paths:
        if match := re.fullmatch(kind.in_folder, path.name):
            found.setdefault(SPLITS[match["split"]], []).append(path)
    return {split: _with_companions(kind, files[0]) for split, files in found.items()}


def _with_companions(kind: _Format, path: Path) -> tuple[Path, ...]:
    return kind.with_companions(path) if kind.with_companions else (path,)


def _folder_of_images(root: Path) -> Source:
    tree = folder.look(root)
    read = partial(folder.read, tree=tree, root=root)
    return Source(root, tree.files, read, tree.ignored, tree.notes)
