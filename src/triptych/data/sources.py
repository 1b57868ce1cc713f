"""Which files at a path make up a data set, and the reader that fits them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from triptych.data.readers import amat, arrays, folder, idx, mat, table
from triptych.data.readers.part import SPLITS, Meanings, Read
from triptych.errors import TriptychError

__all__ = ["Source", "source_at", "tabular_source"]


@dataclass(frozen=True)
class Source:
    """The files of every split, in order, and how to read them; nothing has been decoded yet.

    ``root`` is the path that errors name; ``ignored`` counts files that are not part of the data;
    ``notes`` say, a sentence each, what was taken where there was a choice, and what was left;
    ``meanings`` says what labels mean where a format has its own way to write them.
    """

    root: Path
    files: Mapping[str, tuple[Path, ...]]
    read: Read
    ignored: int = 0
    notes: tuple[str, ...] = ()
    meanings: Meanings | None = None


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
    shards: bool = False
    meanings: Meanings | None = None


NAMES = "|".join(SPLITS)

FORMATS = (
    _Format(
        r"idx3-ubyte(\.gz)?",
        rf"(?P<set>(?:.+-)?)(?P<split>{NAMES})-images[-.]idx3-ubyte(?:\.gz)?",
        idx.read,
        with_companions=idx.companions,
    ),
    _Format(r"\.mat", rf"(?P<split>{NAMES})_32x32\.mat", mat.read, meanings=mat.meanings),
    _Format(r"\.amat", rf"(?P<set>(?:.+_)?)(?P<split>{NAMES})\.amat", amat.read),
    _Format(
        r"\.parquet",
        r"(?P<split>train|valid|val|validation|test)(?:-.+)?\.parquet",
        table.read,
        shards=True,
    ),
    _Format(r"\.npy", None, arrays.read_npy),
    _Format(r"\.npz", None, arrays.read_npz, splits=arrays.splits_of_npz),
)

DATA = "|".join((*(kind.suffix for kind in FORMATS), r"idx1-ubyte(\.gz)?"))
NAMED_IN_NOTES = 6


def source_at(path: Path) -> Source:
    """The data set at a path: one file, a folder of such files, or a folder of images."""
    if path.is_dir():
        return tabular_source(path) or _folder_of_images(path)
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
    names = sorted(path for path in root.iterdir() if not path.name.startswith("."))
    for kind in FORMATS:
        found = _by_split(kind, names)
        if not found:
            continue
        if "train" not in found:
            raise TriptychError(
                f"{root} has files for {' and '.join(found)} but none for train; add train"
            )
        used = {path for files in found.values() for path in files}
        ordered = {split: found[split] for split in SPLITS.values() if split in found}
        notes = _left(path.name for path in names if path not in used)
        return Source(root, ordered, kind.read, len(names) - len(used), notes, kind.meanings)
    return None


def _left(names: Iterable[str]) -> tuple[str, ...]:
    """The files of data in a folder that are not part of the set, as a note."""
    left = [name for name in names if re.search(f"({DATA})$", name)]
    if not left:
        return ()
    more = f" and {len(left) - NAMED_IN_NOTES:,} more" if len(left) > NAMED_IN_NOTES else ""
    return (
        f"files of data in the folder that were left: {', '.join(left[:NAMED_IN_NOTES])}{more}",
    )


def _by_split(kind: _Format, paths: list[Path]) -> dict[str, tuple[Path, ...]]:
    """The files of each split; a format without shards has one, with its companions."""
    if kind.in_folder is None:
        return {}
    if not kind.shards:
        return {split: _with_companions(kind, path) for split, path in _one_set(kind, paths)}
    found: dict[str, list[Path]] = {}
    for path in paths:
        if match := re.fullmatch(kind.in_folder, path.name):
            found.setdefault(SPLITS[match["split"]], []).append(path)
    if not found:
        every = [path for path in paths if re.search(kind.suffix + "$", path.name)]
        found = {"train": every} if every else {}
    return {split: tuple(files) for split, files in found.items()}


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
    return Source(root, tree.files, partial(folder.read, tree=tree, root=root), tree.ignored)
