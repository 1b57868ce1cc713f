"""Decode once: a memory-mapped N×C×H×W array a split, keyed by the content of the source files.

A set is written into a folder beside its place and then renamed, so what has
the final name is complete; of two processes that decode the same set at once
the slower one uses what the faster one wrote.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

from triptych import records
from triptych.data.apart import apart
from triptych.data.decoded import open_split, write_decoded
from triptych.data.hashing import digest, digests
from triptych.data.picture import Fit
from triptych.data.places import cache_root
from triptych.data.sources import Source
from triptych.data.spec import Images, Values
from triptych.errors import TriptychError
from triptych.files import staged, sweep
from triptych.progress import Progress
from triptych.records import Shape

__all__ = ["READER_VERSION", "Stored", "decoded", "kept"]


SPLITS = ("train", "valid", "test")


def _is_file_of_its_own(entry: tuple[str, object]) -> bool:
    """Whether a file's name and size are those of one that lies in the folder itself."""
    name, size = entry
    parts = name.split(".")
    return parts[0] in SPLITS and all(part.isalnum() for part in parts) and isinstance(size, int)


META: Shape = {
    "splits": lambda names: (
        isinstance(names, list) and "train" in names and all(name in SPLITS for name in names)
    ),
    "classes": (list, type(None)),
    "values": lambda word: word in get_args(Values),
    "fingerprint": str,
    "jpegs": int,
    "notes": [str],
    "sizes": lambda sizes: isinstance(sizes, dict) and all(map(_is_file_of_its_own, sizes.items())),
}
"""What meta.json of a decoded set holds."""

READER_VERSION = 2
"""To be raised whenever the same files would decode to other pixels, labels or order."""


@dataclass(frozen=True)
class Stored:
    """The splits as files hold them; `jpegs` counts the images that came in JPEG files.

    `notes` are those of the source and of every reader: what was taken, and what was left.
    """

    splits: Mapping[str, Images]
    classes: tuple[str, ...] | None
    values: Values
    fingerprint: str
    jpegs: int
    notes: tuple[str, ...] = ()
    key: str = ""
    """Its name in the cache."""


def kept(key: str) -> Stored | None:
    """A set that was decoded before, by its name in the cache; none where it is not there any more."""
    return _open(cache_root() / "decoded" / key) if key.isalnum() else None


def decoded(source: Source, fit: Fit, shuffle: Collection[str], progress: Progress) -> Stored:
    """The decoded set, from the cache or read now; splits in `shuffle` get a fixed random order."""
    home = cache_root() / "decoded"
    place = home / _key(source, fit, shuffle, progress)
    stored = _open(place)
    if stored is None:
        home.mkdir(parents=True, exist_ok=True)
        sweep(home)
        try:
            with staged(place) as temporary:
                temporary.mkdir()
                write = partial(write_decoded, temporary, source, fit, shuffle)
                apart(write, source.root, progress) if source.compiled else write(progress)
                if _open(place) is None:
                    # What is there is damaged.
                    shutil.rmtree(place, ignore_errors=True)
        except OSError:
            # Another process may have been first, which is as good.
            if _open(place) is None:
                raise
        stored = _open(place)
    if stored is None:
        raise TriptychError(f"{place} vanished while it was opened; run the command again")
    # What lies beside the data may change while they stay the same.
    return dataclasses.replace(stored, notes=(*source.notes, *stored.notes))


def _key(source: Source, fit: Fit, shuffle: Collection[str], progress: Progress) -> str:
    """Everything that decides the decoded bytes: contents, names (they carry classes), options."""
    named = [(split, path) for split, files in source.files.items() for path in files]
    hashes = digests([path for _, path in named], progress)
    names = (f"{split} {os.path.relpath(path, source.root)}" for split, path in named)
    # A square by its side, as it was before others could be asked for: what is decoded stays found.
    size = fit.size[0] if fit.size and fit.size[0] == fit.size[1] else fit.size
    options = (READER_VERSION, size, fit.colour, fit.skip_broken, sorted(shuffle))
    return digest((*options, *names, *hashes))[:32]


def _open(place: Path) -> Stored | None:
    """The set in a finished folder; None where there is none or a file of it is gone or cut."""
    try:
        meta = records.parsed(place / "meta.json", META, "delete it")
        if meta is None or any(
            (place / name).stat().st_size != size for name, size in meta["sizes"].items()
        ):
            return None
        splits = {split: open_split(place, split) for split in meta["splits"]}
    except (OSError, TriptychError):
        return None
    classes = tuple(map(str, meta["classes"])) if meta["classes"] else None
    return Stored(
        splits,
        classes,
        meta["values"],
        meta["fingerprint"],
        meta["jpegs"],
        tuple(meta["notes"]),
        place.name,
    )
