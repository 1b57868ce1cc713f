"""SHA-256 of files, remembered for as long as path, size and time of change stay the same."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from triptych.data.places import cache_root
from triptych.errors import DamagedError
from triptych.files import read_text, write
from triptych.progress import Progress
from triptych.records import fit

__all__ = ["digest", "digests"]

# A file system may keep times no finer than two seconds: within them a second
# change would not show.
SETTLED_SECONDS = 2.0


def digest(parts: Iterable[object]) -> str:
    """SHA-256 in hexadecimal of a list of plain values."""
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()


def digests(files: Sequence[Path], progress: Progress) -> list[str]:
    """The SHA-256 of each file; files that were hashed together before are not opened again."""
    stats = [path.stat() for path in files]
    newest = max(stat.st_mtime for stat in stats)
    state = digest(
        (path.absolute(), stat.st_size, stat.st_mtime_ns, stat.st_ino)
        for path, stat in zip(files, stats, strict=True)
    )
    memo = cache_root() / "hashes" / f"{state}.json"
    if (remembered := _remembered(memo, len(files))) is not None:
        return remembered
    found = []
    for done, path in enumerate(files, start=1):
        with path.open("rb") as file:
            found.append(hashlib.file_digest(file, "sha256").hexdigest())
        progress("checking (files)", done, len(files))
    if time.time() - newest > SETTLED_SECONDS:
        memo.parent.mkdir(parents=True, exist_ok=True)
        write(memo, json.dumps(found))
    return found


def _remembered(memo: Path, count: int) -> list[str] | None:
    """What was hashed before, if that file is whole: else it is made again."""
    if not memo.is_file():
        return None
    try:
        found: list[str] = json.loads(read_text(memo))
        fit(found, [str], "it")
    except (ValueError, RecursionError, DamagedError):
        return None
    return found if len(found) == count else None
