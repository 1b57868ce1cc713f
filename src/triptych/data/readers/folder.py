"""A folder of image files: flat or in class folders, whole or in folders for train, valid and test.

What a folder means follows from its name and from where it stands (`layout`); what is left
out on the way is said.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG

import numpy as np

from triptych.data.images import Decoder, Encoded
from triptych.data.names import as_text, few
from triptych.data.readers.layout import arrange
from triptych.data.readers.part import Part
from triptych.data.readers.pictures import Picture
from triptych.errors import TriptychError

__all__ = ["Tree", "holds_images", "look", "read"]


SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp"),
    *(".avif", ".jp2", ".pbm", ".pgm", ".ppm", ".pnm", ".tga"),
}
# What network drives, archives and systems put beside the files of a person.
LITTER = {
    *("@eadir", "__macosx", "lost+found", "$recycle.bin", "system volume information", "#recycle"),
    *("@recycle", "@recently-snapshot", "#snapshot", "@tmp", "__pycache__", "thumbs.db"),
    "desktop.ini",
}
LARGEST = 2_000_000_000
"""Bytes above which a file is no image."""


@dataclass(frozen=True)
class Tree:
    """The image files of each split in the order of their names, and the class of each in the splits that have some.

    ``ignored`` counts the files that are not images and the pictures that are not part of the data;
    ``notes`` say what the folders were taken for and what was left out.
    """

    files: dict[str, tuple[Path, ...]]
    labels: dict[str, list[str]] = field(default_factory=dict)
    ignored: int = 0
    notes: tuple[str, ...] = ()


@dataclass
class _Walk:
    """Everything in a folder, by the names of the folders that lead to it."""

    pictures: list[Picture] = field(default_factory=list)
    hollow: list[tuple[str, ...]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    litter: list[str] = field(default_factory=list)


def look(root: Path) -> Tree:
    """What lies in the folder, unopened; raises if there is no image or no single reading."""
    walk = _Walk()
    _collect(root, (), frozenset(), walk)
    if not walk.pictures:
        others = f" (it holds {len(walk.others):,} other files)" if walk.others else ""
        raise TriptychError(
            f"{root} holds no image{others}; give a folder with images such as PNG or JPEG, "
            "or a .npy, .npz or parquet file"
        )
    found = arrange(root, walk.pictures, walk.hollow)
    files = {split: tuple(p.path for p in pictures) for split, pictures in found.splits.items()}
    used = sum(map(len, files.values()))
    notes = [*found.notes, *_alike(files, found.labels)]
    if walk.others:
        notes.append(f"left out {_counted(walk.others, 'file')} that are no images")
    if walk.litter:
        notes.append(f"left out what systems and tools keep for themselves: {few(walk.litter)}")
    ignored = len(walk.others) + len(walk.pictures) - used
    return Tree(files, found.labels, ignored, tuple(notes))


def holds_images(root: Path) -> bool:
    """Whether an image file lies in the folder, or anywhere below it."""
    return any(
        os.path.splitext(name)[1].lower() in SUFFIXES
        for _, _, names in os.walk(root)
        for name in names
    )


def read(split: str, files: tuple[Path, ...], decoder: Decoder, tree: Tree, root: Path) -> Part:
    """The split's images; labels number the classes of all splits in the order of their names."""
    classes = tuple(sorted(set().union(*tree.labels.values())))
    labels = None
    if len(classes) > 1 and split in tree.labels:
        number = {name: place for place, name in enumerate(classes)}
        labels = np.array([number[name] for name in tree.labels[split]], dtype=np.int64)
    return Part(
        len(files),
        decoder.encoded(_encoded(files, root)),
        labels,
        classes if len(classes) > 1 else None,
    )


def _encoded(files: tuple[Path, ...], root: Path) -> Iterator[Encoded]:
    for path in files:
        yield str(path.relative_to(root)), _content(path)


def _content(path: Path) -> bytes | str:
    """The file's bytes, or why there are none; a pipe or a device, which may never end, is not opened."""
    try:
        state = path.stat()
        if not S_ISREG(state.st_mode):
            return "no regular file"
        if state.st_size > LARGEST:
            return f"a file of {state.st_size:,} bytes"
        return path.read_bytes()
    except OSError as why:
        return why.strerror or type(why).__name__


def _collect(
    folder: Path, names: tuple[str, ...], above: frozenset[tuple[int, int]], into: _Walk
) -> bool:
    """Collect what lies in the folder and below it; links are followed, but never in a circle.

    Returns whether there is an image.
    """
    state = folder.stat()
    here = (state.st_dev, state.st_ino)
    if here in above:
        return True
    with os.scandir(folder) as entries:
        every = sorted(entries, key=lambda entry: entry.name)
    folders = []
    before = len(into.pictures)
    for entry in every:
        where = "/".join((*names, entry.name))
        if entry.name.startswith(".") or entry.name.lower() in LITTER:
            into.litter.append(where)
        elif entry.is_dir():
            folders.append(entry)
        elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
            into.pictures.append(Picture(Path(entry.path), (), names))
        else:
            into.others.append(where)
    for entry in folders:
        inside = (*names, entry.name)
        if not _collect(Path(entry.path), inside, above | {here}, into):
            into.hollow.append(inside)
    return len(into.pictures) > before


def _alike(files: dict[str, tuple[Path, ...]], labels: dict[str, list[str]]) -> Iterator[str]:
    """A remark where class folders hold files of the same names, as pictures and their masks do."""
    names: dict[str, list[str]] = {}
    for split, classes in labels.items():
        for path, label in zip(files[split], classes, strict=True):
            names.setdefault(label, []).append(path.stem)
    several = [sorted(stems) for stems in names.values()]
    if len(several) > 1 and len(several[0]) > 1 and all(s == several[0] for s in several):
        yield (
            f"the folders {few(sorted(names))} hold files of the same names and were taken for "
            "classes; if they are several pictures of the same things, give one folder alone"
        )


def _counted(names: list[str], what: str) -> str:
    kinds = Counter(os.path.splitext(name)[1].lower() or "no suffix" for name in names)
    told = ", ".join(f"{count:,} {as_text(kind)}" for kind, count in kinds.most_common(5))
    some = few(names, 3)
    return f"{len(names):,} {what}s ({told}: {some})" if len(names) > 3 else f"{some}"
