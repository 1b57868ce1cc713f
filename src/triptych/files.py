"""Files that are written whole or not at all, and read only where they are files, and of a sensible size."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from secrets import token_hex

from triptych.errors import DamagedError, TriptychError

__all__ = ["TEXT", "read_bytes", "read_text", "regular", "staged", "write"]

TEXT = 64_000_000
"""Bytes of a text file that are read at most; none that Triptych writes has nearly as many."""


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """A hidden name beside ``path``, nobody else's, for a file or folder that takes its place at the end.

    Where the block breaks, what it wrote is removed and ``path`` is as before. A folder takes only the place of
    nothing, and a file that of a file.

    Example:
        >>> with staged(tmp_path / "a.txt") as temporary:
        ...     _ = temporary.write_text("whole")
        >>> [path.name for path in tmp_path.iterdir()]
        ['a.txt']
    """
    # Not by the process alone: two containers that share a folder have processes of one number, and so have threads.
    temporary = path.with_name(f".{path.name[:100]}.{os.getpid()}.{token_hex(4)}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir():
        import shutil

        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write(path: Path, content: str | bytes) -> None:
    """Put a file in its place in one step: readers see the one before or this one, whole, however many write it.

    Half a character, which no file can hold, becomes a question mark. Raises `TriptychError` where it cannot be written.

    Example:
        >>> write(tmp_path / "b.txt", "text")
        >>> (tmp_path / "b.txt").read_text()
        'text'
    """
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    try:
        with staged(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        # A full disk is an error without a name, and the hidden one would help nobody.
        raise TriptychError(f"cannot write '{path}': {error.strerror or error}") from None


@contextmanager
def regular(path: Path, most: int | None = None) -> Iterator[BufferedReader]:
    """A file that is open to be read; raises as `read_bytes` does, also for what goes wrong in the block."""
    try:
        # Without waiting: a pipe has no content until somebody writes to it.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        try:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                raise DamagedError(path, "it is no file", "delete it first")
            if most is not None and about.st_size > most:
                raise DamagedError(
                    path,
                    f"it has {about.st_size:,} bytes, far more than any that Triptych writes",
                    "delete it first",
                )
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                yield file
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise TriptychError(f"'{path}' cannot be read: {error.strerror or error}") from None


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """The content of a file.

    Raises:
        FileNotFoundError: there is nothing of that name.
        DamagedError: it is no file, but a pipe or a folder, or it has more than ``most`` bytes.
        TriptychError: it cannot be read, and why.
    """
    with regular(path, most) as file:
        return file.read()


def read_text(path: Path, most: int = TEXT) -> str:
    """The content of a text file in UTF-8; raises as `read_bytes` does, and `DamagedError` where it is no text."""
    try:
        return read_bytes(path, most).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DamagedError(path, error.reason, "", "is no text in UTF-8") from None
