"""Locks: what one process holds, another does not, and what dies lets go."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from triptych.errors import TriptychError, refused

__all__ = ["HeldError", "locked"]


class HeldError(TriptychError):
    """Another process holds the lock just now."""


@contextmanager
def locked(path: Path, held: str = "", wait: float = -1.0) -> Iterator[None]:
    """Hold the lock whose file is ``path``, which is made where there is none, and stays.

    Args:
        path: Of an empty file that nobody uses otherwise; its folder is there.
        held: The sentence for who does not get it.
        wait: Seconds to wait for it; for ever if negative.

    Raises:
        HeldError: somebody else holds it still.
        TriptychError: what has the name is no file of that kind.
        MachineError: it cannot be made.

    Example:
        >>> with locked(tmp_path / ".lock"), locked(tmp_path / ".lock", "it is held", wait=0):
        ...     pass
        Traceback (most recent call last):
        triptych.locks.HeldError: it is held
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        _refuse_others(path)
        lock.acquire(timeout=wait)
    except Timeout:
        raise HeldError(held or f"another process holds '{path}' just now") from None
    except OSError as error:
        raise refused("lock", path, error) from None
    try:
        yield
    finally:
        lock.release()


def _refuse_others(path: Path) -> None:
    """A `TriptychError` where a stranger's folder has something else for a lock: older filelocks empty what they open."""
    try:
        about = path.lstat()
    except FileNotFoundError:
        return
    # A copy of a folder may be made of second names for its files, an empty lock among them.
    second = about.st_nlink > 1 and about.st_size > 0
    kinds = {
        "a link": stat.S_ISLNK(about.st_mode) or (stat.S_ISREG(about.st_mode) and second),
        "a folder": stat.S_ISDIR(about.st_mode),
        "no file": not stat.S_ISREG(about.st_mode),
    }
    for kind, found in kinds.items():
        if found:
            raise TriptychError(f"'{path}' is {kind}; delete it first")
