"""Commands in forks of a process that has imported everything: a try costs what the command does, and not its start."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["HANGS", "command", "ended", "fork"]

HANGS = 120.0
"""Seconds after which a command is said to hang."""


def fork(do: Callable[[], int], log: Path) -> int:
    """Begin ``do`` in a process of its own, whose words go to ``log``; its exit code is what it returns. Gives the process."""
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        # Away from the terminal's Ctrl-C, and from whatever this process has open.
        os.setsid()
        said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        for stream in (1, 2):
            os.dup2(said, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        code = do()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def command(words: Sequence[str | Path], log: Path) -> int:
    """Begin ``triptych WORDS`` in a fork."""
    from triptych.cli.main import main

    return fork(lambda: main([str(word) for word in words]), log)


def ended(process: int, seconds: float = HANGS) -> int | None:
    """The exit code of a process, negative for a signal; none where it has to be killed after so many seconds."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return None
