"""A folder of image files: flat or in class folders, whole or in `train/`, `valid/` and `test/`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from triptych.data.images import Decoder
from triptych.data.readers.part import SPLITS, Part
from triptych.errors import TriptychError

__all__ = ["Tree", "look", "read"]


SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp"),
    *(".avif", ".jp2", ".pbm", ".pgm", ".ppm", ".pnm", ".tga"),
}


@dataclass(frozen=True)
class Tree:
    """The image files of each split in the order of their names, and each file's class, if any.

    ``ignored`` counts the files that are not images and the folders beside the splits.
    """

    files: dict[str, tuple[Path, ...]]
    labels: dict[Path, str] = field(default_factory=dict)
    ignored: int = 0


def look(root: Path) -> Tree:
    """What lies in the folder, unopened; raises if there is no image or no single reading."""
    images, folders, ignored = _entries(root)
    splits = [folder for folder in folders if folder.name.lower() in SPLITS]
    if not any(SPLITS[folder.name.lower()] == "train" for folder in splits):
        return _merge(root, {"train": _one_split(root)})
    ignored += len(images) + len(folders) - len(splits)
    found = {SPLITS[folder.name.lower()]: _one_split(folder) for folder in splits}
    if len(found) < len(splits):
        raise TriptychError(f"{root} has two folders for one split; keep one of valid and val")
    return _merge(root, found, ignored)


def read(split: str, files: tuple[Path, ...], decoder: Decoder, tree: Tree, root: Path) -> Part:
    """The split's images; labels number the classes of all splits in the order of their names."""
    classes = tuple(sorted(set(tree.labels.values())))
    labels = None
    if len(classes) > 1:
        number = {name: place for place, name in enumerate(classes)}
        labels = np.array([number[tree.labels[path]] for path in files], dtype=np.int64)
    encoded = ((str(path.relative_to(root)), path.read_bytes()) for path in files)
    return Part(len(files), decoder.encoded(encoded), labels, None if labels is None else classes)


def _one_split(folder: Path) -> Tree:
    """Images directly in the folder (no labels), or in its sub-folders, each of them a class."""
    images, folders, ignored = _entries(folder)
    classes = {child.name: _below(child) for child in folders}
    ignored += sum(skipped for _, skipped in classes.values())
    filled = {name: files for name, (files, _) in classes.items() if files}
    if images and filled:
        raise TriptychError(
            f"{folder} holds {len(images):,} images directly and others in the folder "
            f"'{min(filled)}'; put all of them in class folders, or none"
        )
    if images:
        return Tree({"": tuple(images)}, ignored=ignored)
    empty = sorted(classes.keys() - filled.keys())
    if filled and empty:
        raise TriptychError(
            f"the class folder '{empty[0]}' in {folder} holds no image; fill it or remove it"
        )
    labels = {path: name for name, files in filled.items() for path in files}
    return Tree({"": tuple(labels)}, labels, ignored)


def _merge(root: Path, splits: dict[str, Tree], ignored: int = 0) -> Tree:
    """The splits as one tree; all of them must have images, and all or none have class folders."""
    ignored += sum(tree.ignored for tree in splits.values())
    for split, tree in splits.items():
        if not tree.files[""]:
            where = root if len(splits) == 1 else f"the split '{split}' of {root}"
            others = f" (it holds {ignored:,} other files)" if ignored else ""
            raise TriptychError(
                f"{where} holds no image{others}; give a folder with images such as PNG or JPEG, "
                "or a .npy, .npz or parquet file"
            )
    labelled = [split for split, tree in splits.items() if tree.labels]
    if labelled and len(labelled) < len(splits):
        raise TriptychError(f"in {root} only {', '.join(labelled)} has class folders; all or none")
    labels = {path: name for tree in splits.values() for path, name in tree.labels.items()}
    return Tree({split: tree.files[""] for split, tree in splits.items()}, labels, ignored)


def _entries(folder: Path) -> tuple[list[Path], list[Path], int]:
    """Images, sub-folders and the number of other files; hidden ones do not count at all."""
    images, folders, others = [], [], 0
    with os.scandir(folder) as entries:
        visible = sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)
    for entry in visible:
        if entry.is_dir():
            folders.append(Path(entry.path))
        elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
            images.append(Path(entry.path))
        else:
            others += 1
    return images, folders, others


def _below(folder: Path) -> tuple[list[Path], int]:
    """All images at any depth, symbolic links followed but no folder visited twice."""
    found: list[Path] = []
    others = 0
    seen: set[str] = set()
    for where, folders, _ in os.walk(folder, followlinks=True):
        real = os.path.realpath(where)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        images, _, skipped = _entries(Path(where))
        found += images
        others += skipped
    return found, others
