"""Work in a folder that takes long: by one process at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from triptych.errors import TriptychError, machine
from triptych.files import sweep
from triptych.locks import HeldError, locked

__all__ = ["alone", "held"]


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a folder, which is made where there is none; `TriptychError` where somebody else does.

    What processes that were killed left half-written in it is removed.
    """
    with machine("work in", folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock", f"another process works on '{folder}' just now", 1):
        # At every depth: a run that is done is not opened again, and its figures may have been what was drawn.
        sweep(folder, *folder.glob("**/"))
        yield


def held(folder: Path) -> bool:
    """Whether a process works in a folder just now, as far as this machine can tell."""
    if not (folder / ".lock").exists():
        return False
    try:
        with locked(folder / ".lock", wait=0):
            return False
    except HeldError:
        return True
    except TriptychError:
        return False
