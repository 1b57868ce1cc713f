"""Files that are written whole or not at all, and read only where they are files, and of a sensible size."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from io import BufferedReader, FileIO
from pathlib import Path
from secrets import token_hex

from triptych.errors import DamagedError, TriptychError, machine, refused, shown

__all__ = [
    "TEXT",
    "append",
    "as_path",
    "put",
    "read_bytes",
    "read_text",
    "regular",
    "staged",
    "sweep",
    "write",
]

TEXT = 64_000_000
"""Bytes of a text file that are read at most; none that Triptych writes has nearly as many."""


DAY = 86_400.0
"""Seconds without a write after which even what a process elsewhere left is nobody's."""

STAGED = re.compile(r"\..+\.triptych-([0-9a-f]{8})-(\d+)-[0-9a-f]{8}", re.DOTALL)
"""A name of `staged`; its groups are where its process is, and the number that it has there."""

_staged: set[str] = set()
"""The names that this process is writing to."""


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
    process = f"{_here()}-{os.getpid()}"
    temporary = path.with_name(f".{path.name[:100]}.triptych-{process}-{token_hex(4)}")
    _staged.add(temporary.name)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        _remove(temporary)
        _staged.discard(temporary.name)


def sweep(*folders: Path) -> None:
    """Remove what processes that were killed left half-written in these folders.

    That is what has a name of `staged` whose process was here and is gone. One of another machine or container cannot
    be seen from here: what it has not written to for a day is removed.
    """
    for folder in folders:
        with suppress(OSError):
            # Behind a link of a stranger's folder lie files of somebody else.
            for path in () if folder.is_symlink() else folder.iterdir():
                match = STAGED.fullmatch(path.name)
                if match and path.name not in _staged:
                    gone = match[1] == _here() and not _alive(int(match[2]))
                    if gone or time.time() - _written(path) > DAY:
                        _remove(path)


@cache
def _here() -> str:
    """Among which processes a number is this one's: those of a machine, and on Linux of a container."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return hashlib.sha256(f"{platform.node()} {namespace}".encode()).hexdigest()[:8]


def _alive(process: int) -> bool:
    """Whether a process of this number is there; this one's own names are known without it."""
    if process == os.getpid():
        return False
    if os.name == "nt":
        # There is no such question: the signal would end it.
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _written(path: Path) -> float:
    """When something was last written to a file, or into a folder."""
    times = [0.0]
    for part in (path, *(path.rglob("*") if path.is_dir() and not path.is_symlink() else ())):
        with suppress(OSError):
            times.append(part.lstat().st_mtime)
    return max(times)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        import shutil

        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write(path: Path, content: str | bytes) -> None:
    """Put a file in its place in one step: readers see the one before or this one, whole, however many write it.

    Half a character, which no file can hold, becomes a question mark. Raises `MachineError` where it cannot be written.

    Example:
        >>> write(tmp_path / "b.txt", "text")
        >>> (tmp_path / "b.txt").read_text()
        'text'
    """
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    # The hidden name would help nobody.
    with machine("write", path), staged(path) as temporary:
        temporary.write_bytes(data)


def append(path: Path, text: str) -> None:
    r"""Add a text to the end of a file that this process alone writes to; where there is no room for all, none stays.

    Raises `MachineError` where it cannot be written.

    Example:
        >>> append(tmp_path / "log", "line\n")
        >>> (tmp_path / "log").read_text()
        'line\n'
    """
    # Without a buffer: what did not fit would be written by the file's closing, after it was taken back.
    with machine("write", path), path.open("ab", buffering=0) as file:
        end = file.tell()
        try:
            put(file, text.encode("utf-8", "replace"))
        except BaseException:
            file.truncate(end)
            raise


def put(file: FileIO, data: bytes | memoryview) -> None:
    """Write all to a file without a buffer: a disk with little room takes a part, and only then refuses the rest."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


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
        raise refused("read", path, error) from None


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """The content of a file.

    Raises:
        FileNotFoundError: there is nothing of that name.
        DamagedError: it is no file, but a pipe or a folder, or it has more than ``most`` bytes.
        MachineError: it cannot be read, and why.
    """
    with regular(path, most) as file:
        return file.read()


def read_text(path: Path, most: int = TEXT) -> str:
    """The content of a text file in UTF-8; raises as `read_bytes` does, and `DamagedError` where it is no text."""
    try:
        return read_bytes(path, most).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DamagedError(path, error.reason, "", "is no text in UTF-8") from None


def as_path(value: object, what: str) -> Path:
    """A path that somebody said; a `TriptychError` for what no file or folder can be called. ``what`` it is of goes before it.

    Example:
        >>> as_path("runs/a", "out")
        PosixPath('runs/a')
        >>> as_path(3, "out")
        Traceback (most recent call last):
        triptych.errors.TriptychError: out cannot be 3; give a path
    """
    if isinstance(value, (str, Path)):
        try:
            # Halves of characters, zeros and names that are too long: the system refuses even to look.
            os.lstat(value)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return Path(value)
        except (ValueError, OSError):
            pass
        else:
            return Path(value)
    raise TriptychError(f"{what} cannot be {shown(value)}; give a path")
