"""SHA-256 of files, remembered for as long as path, size and time of change stay the same.

A link that leads nowhere, a pipe or a device has no content: it stands as such in the list, and
is opened by nobody.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
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
    """SHA-256 in hexadecimal of a list of plain values."""
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()


def digests(files: Sequence[Path], progress: Progress) -> list[str]:
    """The SHA-256 of each file; files that were hashed together before are not opened again."""
    stats = [_regular(path) for path in files]
    state = digest(
        (path.absolute(), *((stat.st_size, stat.st_mtime_ns, stat.st_ino) if stat else ()))
        for path, stat in zip(files, stats, strict=True)
    )
    memo = cache_root() / "hashes" / f"{state}.json"
    if (remembered := _remembered(memo, len(files))) is not None:
        return remembered
    found = []
    readable = True
    for done, (path, stat) in enumerate(zip(files, stats, strict=True), start=1):
        try:
            found.append(_content(path) if stat else NO_CONTENT)
        except OSError:  # not ours to read; the reader says so
            found.append(NO_CONTENT)
            readable = False
        progress("checking (files)", done, len(files))
    newest = max((stat.st_mtime for stat in stats if stat), default=0.0)
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
