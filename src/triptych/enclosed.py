"""What a folder may hold that came from anywhere: files and folders of its own, and no way out of it.

Whoever opens a run, a study or a reproduction asks here first, before anything in it is read or written: behind a link lie
somebody else's files, and who reads a pipe waits for ever.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from triptych.errors import TriptychError

__all__ = ["enclosed"]


def enclosed(folder: str | Path) -> None:
    """Refuse a folder with a link that leads out of it or nowhere, or with what is neither a file nor a folder.

    Nothing in it is opened; a folder that is not there passes. Raises `TriptychError` that names what to delete.

    Example:
        >>> (tmp_path / "run").mkdir()
        >>> (tmp_path / "run" / "samples").symlink_to(tmp_path)
        >>> try:
        ...     enclosed(tmp_path / "run")
        ... except TriptychError as error:
        ...     print(str(error).replace(str(tmp_path), "…"))
        '…/run/samples' is a link that leads out of '…/run'; delete it first
    """
    root = _end(Path(folder))
    for entry in _entries(os.fspath(folder)):
        if entry.is_symlink():
            if not _end(Path(entry.path), strict=True).is_relative_to(root):
                raise TriptychError(
                    f"'{entry.path}' is a link that leads out of '{folder}'; delete it first"
                )
        elif not entry.is_file() and not entry.is_dir() and os.path.lexists(entry.path):
            raise TriptychError(f"'{entry.path}' is neither a file nor a folder; delete it first")


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    """Everything below, without what lies behind links; what a run that goes on replaces just now may be missing."""
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except OSError:
        # Whoever reads in it says what is wrong with it.
        return
    for entry in entries:
        yield entry
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(entry.path)


def _end(path: Path, strict: bool = False) -> Path:
    """Where a path leads in the end; with ``strict`` something has to be there."""
    try:
        # Since Python 3.13 a path that leads in a circle resolves to itself unless it is strict.
        with suppress(FileNotFoundError):
            path.stat()
        return path.resolve(strict=strict)
    except FileNotFoundError:
        raise TriptychError(
            f"'{path}' is a link to something that is not there; delete it first"
        ) from None
    except (OSError, RuntimeError):
        raise TriptychError(
            f"'{path}' is a link that leads nowhere, as links in a circle do; delete it first"
        ) from None
