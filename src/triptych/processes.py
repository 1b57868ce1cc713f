"""Processes that another one began: how they are asked to stop, and what a stopped one does."""

from __future__ import annotations

import _thread
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["interrupt_at_end_of_input", "stoppable"]


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
