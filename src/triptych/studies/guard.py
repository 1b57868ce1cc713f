"""Work in a folder that takes long: by one process at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from triptych.errors import TriptychError
from triptych.files import sweep

__all__ = ["alone", "held"]


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a folder, which is made where there is none; `TriptychError` where somebody else does.

    What processes that were killed left half-written in it is removed.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=1)
    except Timeout:
        raise TriptychError(f"another process works on '{folder}' just now") from None
    except OSError as error:
        raise TriptychError(f"cannot work in '{folder}': {error.strerror or error}") from None
    # Runs that are there are swept as they are opened; what was to become one lies beside it.
    sweep(folder, *folder.glob("*/"), *folder.glob("*/*/"))
    try:
        yield
    finally:
        lock.release()


def held(folder: Path) -> bool:
    """Whether a process works in a folder just now, as far as this machine can tell."""
    from filelock import FileLock, Timeout

    if not (folder / ".lock").exists():
        return False
    try:
        with FileLock(folder / ".lock", timeout=0):
            return False
    except Timeout:
        return True
    except OSError:
        return False
