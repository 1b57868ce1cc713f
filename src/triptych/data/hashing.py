"""SHA-256 of files, remembered for as long as path, size and time of change stay the same.

A link that leads nowhere, a pipe or a device has no content: it stands as such in the list, and
is opened by nobody.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from stat import S_ISREG

from triptych.data.places import cache_root
from triptych.errors import TriptychError
from triptych.files import read_text, write
from triptych.progress import Progress
from triptych.records import fit

__all__ = ["digest", "digests"]

# A file system may keep times no finer than two seconds: within them a second
# change would not show.
SETTLED_SECONDS = 2.0
NO_CONTENT = "no content"


def digest(parts: Iterable[object]) -> str:
    """SHA-256 in hexadecimal of a list of plain values, as JSON of their texts; never all of it in memory."""
    told, between = hashlib.sha256(b"["), ""
    for part in parts:
        told.update(f"{between}{json.dumps(str(part))}".encode())
        between = ", "
    told.update(b"]")
    return told.hexdigest()


def digests(files: Sequence[Path], progress: Progress) -> list[str]:
    """The SHA-256 of each file; files that were hashed together before are not opened again."""
    newest, regular = 0.0, bytearray()

    def states() -> Iterator[tuple[object, ...]]:
        nonlocal newest
        for path in files:
            stat = _regular(path)
            regular.append(stat is not None)
            newest = max(newest, stat.st_mtime if stat else 0.0)
            known = (stat.st_size, stat.st_mtime_ns, stat.st_ino) if stat else ()
            yield path.absolute(), *known

    state = digest(states())
    memo = cache_root() / "hashes" / f"{state}.json"
    if (remembered := _remembered(memo, len(files))) is not None:
        return remembered
    found = []
    readable = True
    for done, (path, there) in enumerate(zip(files, regular, strict=True), start=1):
        try:
            found.append(_content(path) if there else NO_CONTENT)
        except OSError:  # not ours to read; the reader says so
            found.append(NO_CONTENT)
            readable = False
        progress("checking (files)", done, len(files))
    if readable and time.time() - newest > SETTLED_SECONDS:
        memo.parent.mkdir(parents=True, exist_ok=True)
        write(memo, json.dumps(found))
    return found


def _remembered(memo: Path, count: int) -> list[str] | None:
    """What was hashed before, if that file is whole: else it is made again."""
    try:
        found: list[str] = json.loads(read_text(memo))
        fit(found, [str], "it")
    except (FileNotFoundError, ValueError, RecursionError, TriptychError):
        return None
    return found if len(found) == count else None


def _regular(path: Path) -> os.stat_result | None:
    """What the file system says of a regular file; None for anything else."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found if S_ISREG(found.st_mode) else None


def _content(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
