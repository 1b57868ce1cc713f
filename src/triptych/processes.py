"""Processes that another one begins: how that is done, how they are asked to stop, and what a stopped one does.

Also processes that compute nothing themselves import this: it stays light.
"""

from __future__ import annotations

import _thread
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO

__all__ = [
    "Child",
    "child",
    "interrupt_at_end_of_input",
    "last_line",
    "same_packages",
    "stoppable",
]


class Child(subprocess.Popen[bytes]):
    """A process on this machine, which saves and ends when its standard input does (`interrupt_at_end_of_input`)."""

    at_work = True

    def stop(self) -> None:
        """Ask it to save and end."""
        assert self.stdin is not None
        # What it has not read is still in the pipe's buffer if it died before.
        with suppress(BrokenPipeError):
            self.stdin.close()


def child(
    words: Sequence[str],
    out: IO[bytes] | int,
    errors: IO[bytes] | int,
    environment: Mapping[str, str],
) -> Child:
    """Begin ``python -m WORDS``, with what it says going to ``out`` and ``errors``, and these variables beside those here."""
    return Child(
        # -P: a user's own file beside the work must not be imported for one of ours.
        [sys.executable, "-P", "-m", *words],
        stdin=subprocess.PIPE,
        stdout=out,
        stderr=errors,
        env={**os.environ, **environment},
        # Ctrl-C in the terminal is for who began it, and tells its processes in order.
        start_new_session=True,
    )


def same_packages() -> dict[str, str]:
    """The variable by which another Python finds the packages of this one, wherever this one has them from."""
    return {"PYTHONPATH": os.pathsep.join(os.path.abspath(place) for place in sys.path)}


def last_line(log: Path) -> str:
    r"""The last line of a file that says something; empty where none does.

    Example:
        >>> _ = (tmp_path / "log").write_text("first\nlast\n\n")
        >>> last_line(tmp_path / "log")
        'last'
    """
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "")


def interrupt_at_end_of_input(also: Callable[[], None] = lambda: None) -> None:
    """From now on interrupt the main thread, as Ctrl-C does, when standard input ends: who began this process wants to stop or has died."""

    def follow() -> None:
        # Not `sys.stdin`: a thread that waits in it is a fatal error when Python ends.
        while os.read(0, 1):
            pass
        also()
        _thread.interrupt_main()

    threading.Thread(target=follow, daemon=True).start()


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM raise `KeyboardInterrupt` as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:
        # Only the main thread may set handlers.
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
