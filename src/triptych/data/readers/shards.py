"""Which Parquet files in a folder are which split, told by their names; none may be missing or twice."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from triptych.data.names import as_text, few
from triptych.data.readers.part import SPLITS
from triptych.errors import TriptychError

__all__ = ["Files", "files_by_split", "nested_files"]

Files: TypeAlias = Mapping[str, tuple[Path, ...]]
"""The files of each split, in order."""

SUFFIX = ".parquet"
SPLIT = "|".join(sorted(SPLITS, key=len, reverse=True))
# train.parquet, train-00000-of-00002.parquet (the hub), the same with a digest behind it, mnist-train-0.parquet
NAME = re.compile(rf"(?:(?P<set>.+?)[-_.])?(?P<split>{SPLIT})(?:[-_.](?P<rest>.+))?", re.IGNORECASE)
NUMBERED = re.compile(r"(?P<before>.*?)(?P<number>\d+)-of-(?P<total>\d+)(?:-[0-9a-f]+)?")
COUNTED = re.compile(r"(?P<before>.*?)(?P<number>\d+)")
DEEPEST = 3
"""Folders within folders that are looked into: hub repositories have two (config/split)."""


class _Named(NamedTuple):
    path: Path
    set: str
    split: str
    rest: str


def files_by_split(root: Path, paths: Sequence[Path]) -> tuple[dict[str, tuple[Path, ...]], str]:
    """The files of each split among the paths, and a remark where there was a choice; empty if none is Parquet."""
    every = sorted(path for path in paths if path.suffix.lower() == SUFFIX)
    named = [
        _Named(path, match["set"] or "", SPLITS[match["split"].lower()], match["rest"] or "")
        for path in every
        if (match := NAME.fullmatch(path.stem))
    ]
    if not named:
        return ({"train": _whole(root, "train", every)}, _remark(every)) if every else ({}, "")
    sets = sorted({file.set for file in named})
    if len(sets) > 1:
        raise TriptychError(
            f"{root} holds {len(sets)} data sets ({few([file.path.name for file in named])}); "
            "give each a folder of its own, or give one file"
        )
    splits = dict.fromkeys(file.split for file in named)
    return {
        split: _versionless(root, split, [file for file in named if file.split == split])
        for split in splits
    }, ""


def nested_files(
    root: Path, depth: int = 0
) -> tuple[Path, dict[str, tuple[Path, ...]], str] | None:
    """The files of a folder whose Parquet files lie in folders within it, and the folder that holds them."""
    folders = [path for path in sorted(root.iterdir()) if _visible(path) and path.is_dir()]
    filled = [folder for folder in folders if any(_parquet_below(folder, depth))]
    if not filled:
        return None
    splits = [SPLITS.get(folder.name.lower()) for folder in filled]
    if all(splits) and len(set(splits)) == len(splits):
        files = {
            split: _whole(folder, split, sorted(_parquet_below(folder, depth)))
            for split, folder in zip(splits, filled, strict=True)
            if split is not None
        }
        return root, files, ""
    if len(filled) > 1:
        raise TriptychError(
            f"{root} holds Parquet files in several folders "
            f"({few([folder.name for folder in filled])}); give one of them"
        )
    remark = f"'{as_text(filled[0].name)}' is the only folder with Parquet files in {root}"
    files, choice = files_by_split(filled[0], list(filled[0].iterdir()))
    if files:
        return filled[0], files, "; ".join(filter(None, (remark, choice)))
    return nested_files(filled[0], depth + 1)


def _parquet_below(folder: Path, depth: int) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        level = len(Path(where).relative_to(folder).parts) + depth
        folders[:] = [name for name in folders if not name.startswith(".") and level < DEEPEST]
        yield from (Path(where) / name for name in names if name.lower().endswith(SUFFIX))


def _visible(path: Path) -> bool:
    return not path.name.startswith((".", "__"))


def _versionless(root: Path, split: str, named: Sequence[_Named]) -> tuple[Path, ...]:
    """The files of one split, unless a file for the whole of it stands beside others."""
    plain = [file.path for file in named if not file.rest]
    if plain and len(named) > 1:
        others = [file.path.name for file in named if file.rest]
        raise TriptychError(
            f"{root} has {as_text(plain[0].name)} and {few(others or [plain[1].name])} for {split}; "
            "keep one of them"
        )
    return _whole(root, split, [file.path for file in named])


def _whole(root: Path, split: str, paths: Sequence[Path]) -> tuple[Path, ...]:
    """All shards of one split in order, none missing; raises where the names count otherwise."""
    matches = [NUMBERED.fullmatch(path.stem) for path in paths]
    if not any(matches):
        counted = all(COUNTED.fullmatch(path.stem) for path in paths)
        if len(paths) > 1 and not counted:
            raise TriptychError(
                f"{root} has {few([path.name for path in paths])} and nothing says that they belong "
                f"together as {split}; number them (train-00000-of-00002.parquet, ...), or give one"
            )
        return tuple(paths)
    totals = {match["total"] for match in matches if match}
    numbers = sorted(int(match["number"]) for match in matches if match)
    if None in matches or len(totals) > 1 or len(set(numbers)) < len(numbers):
        raise TriptychError(
            f"{root} has more than one set of files for {split} ({few([p.name for p in paths])}); "
            "keep one"
        )
    total = int(totals.pop())
    first = 1 if total in numbers and 0 not in numbers else 0
    due = range(first, first + total)
    if missing := [number for number in due if number not in set(numbers)]:
        shown = ", ".join(f"{number:05}" for number in missing[:5])
        more = " and others" if len(missing) > 5 else ""
        raise TriptychError(
            f"{root} has {len(numbers):,} of the {total:,} files of {split}: {shown}{more} of "
            f"{total:05} missing; download them again"
        )
    if numbers[-1] not in due:
        raise TriptychError(f"{root} has a file {numbers[-1]} of {total} for {split}; remove it")
    return tuple(paths)


def _remark(paths: Sequence[Path]) -> str:
    return f"no name says which split it is, so all is train: {few([path.name for path in paths])}"
