"""Which files at a path make up a data set, and the reader that fits them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from triptych.data.names import few
from triptych.data.readers import amat, arrays, folder, idx, mat, table
from triptych.data.readers.part import SPLITS, Meanings, Read
from triptych.data.readers.shards import Files, files_by_split, nested_files
from triptych.errors import TriptychError

__all__ = ["Source", "source_at", "tabular_source"]


@dataclass(frozen=True)
class Source:
    """The files of every split, in order, and how to read them; nothing has been decoded yet.

    ``root`` is the path that errors name; ``ignored`` counts files that are not part of the data;
    ``notes`` say, a sentence each, what was taken where there was a choice, and what was left;
    ``meanings`` says what labels mean where a format has its own way to write them;
    ``compiled`` is set where parsers that are not ours, in compiled code, read it in the process that calls ``read``.
    """

    root: Path
    files: Mapping[str, tuple[Path, ...]]
    read: Read
    ignored: int = 0
    notes: tuple[str, ...] = ()
    meanings: Meanings | None = None
    compiled: bool = False


@dataclass(frozen=True)
class _Format:
    """One kind of file that holds many images: how its name tells it, and its reader.

    In a folder the group `split` of the name is the split, and the group `set`, if any, the data set.
    """

    suffix: str
    in_folder: str | None
    read: Read
    with_companions: Callable[[Path], tuple[Path, ...]] | None = None
    splits: Callable[[Path], tuple[str, ...]] | None = None
    meanings: Meanings | None = None


NAMES = "|".join(SPLITS)
PARQUET = ".parquet"
FORMATS = (
    _Format(
        r"idx3-ubyte(\.gz)?",
        rf"(?P<set>(?:.+-)?)(?P<split>{NAMES})-images[-.]idx3-ubyte(?:\.gz)?",
        idx.read,
        with_companions=idx.companions,
    ),
    _Format(r"\.mat", rf"(?P<split>{NAMES})_32x32\.mat", mat.read, meanings=mat.meanings),
    _Format(r"\.amat", rf"(?P<set>(?:.+_)?)(?P<split>{NAMES})\.amat", amat.read),
    _Format(r"\.npy", None, arrays.read_npy),
    _Format(r"\.npz", None, arrays.read_npz, splits=arrays.splits_of_npz),
)


def source_at(path: Path) -> Source:
    """The data set at a path: one file, a folder of such files, or a folder of images."""
    if path.is_dir():
        return tabular_source(path) or _nested_tables(path) or _folder_of_images(path)
    if path.suffix.lower() == PARQUET:
        table_files: Files = {"train": (path,)}
        return Source(path, table_files, table.reader(table_files), compiled=True)
    for kind in FORMATS if path.is_file() else ():
        if re.search(kind.suffix + "$", path.name):
            splits = kind.splits(path) if kind.splits else ("train",)
            files = dict.fromkeys(splits, _with_companions(kind, path))
            return Source(path, files, kind.read, meanings=kind.meanings)
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
        return _of_files(root, names, found, kind.read, meanings=kind.meanings)
    found, remark = files_by_split(root, names)
    # A table of no split beside images tells of them; the images are the data.
    if not found or (remark and folder.holds_images(root)):
        return None
    return _tables(root, names, found, remark)


def _tables(root: Path, names: list[Path], found: Files, remark: str) -> Source:
    _need_train(root, found)
    source = _of_files(root, names, found, table.reader(_ordered(found)), remark)
    return replace(source, compiled=True)


def _ordered(found: Files) -> Files:
    return {split: found[split] for split in SPLITS.values() if split in found}


def _need_train(root: Path, found: Files) -> None:
    if "train" not in found:
        raise TriptychError(
            f"{root} has files for {' and '.join(found)} but none for train; add train"
        )


def _of_files(
    root: Path,
    names: list[Path],
    found: Files,
    read: Read,
    remark: str = "",
    meanings: Meanings | None = None,
) -> Source:
    """The source of the files that were found among others in a folder."""
    used = {path for files in found.values() for path in files}
    left = [path.name for path in names if path not in used]
    notes = [remark] if remark else []
    if left:
        notes.append(f"left out beside the data in {root}: {few(left)}")
    return Source(root, _ordered(found), read, len(left), tuple(notes), meanings)


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
    """The file of each split with its companions."""
    if kind.in_folder is None:
        return {}
    return {split: _with_companions(kind, path) for split, path in _one_set(kind, paths)}


def _one_set(kind: _Format, paths: list[Path]) -> Iterator[tuple[str, Path]]:
    """The file of each split; refused where the folder has several sets, or two files for a split."""
    sets: dict[str, dict[str, Path]] = {}
    for path in paths:
        match = re.fullmatch(kind.in_folder or "", path.name)
        # A gzipped file beside the same one unpacked is that file once more.
        if match is None or (path.suffix == ".gz" and path.with_suffix("") in paths):
            continue
        splits = sets.setdefault(match.groupdict().get("set", ""), {})
        other = splits.setdefault(SPLITS[match["split"]], path)
        if other != path:
            raise TriptychError(
                f"{path.parent} has two files for {SPLITS[match['split']]} "
                f"({other.name}, {path.name}); leave one of them there"
            )
    if len(sets) > 1:
        listed = ", ".join(next(iter(splits.values())).name for splits in sets.values())
        raise TriptychError(
            f"{paths[0].parent} holds {len(sets)} data sets (of {listed}); "
            "put the files of one of them into a folder of its own"
        )
    for splits in sets.values():
        yield from splits.items()


def _with_companions(kind: _Format, path: Path) -> tuple[Path, ...]:
    return kind.with_companions(path) if kind.with_companions else (path,)


def _folder_of_images(root: Path) -> Source:
    tree = folder.look(root)
    read = partial(folder.read, tree=tree, root=root)
    return Source(root, tree.files, read, tree.ignored, tree.notes, compiled=True)
