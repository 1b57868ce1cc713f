"""Commands and functions in forks of this process, which has imported what takes long: a try costs what it does, and not its start.

What a fork says is heard through a pipe, which a full disk does not fill, and which those that it begins may have as well.
"""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch  # noqa: F401  What every command needs, once for all.

import triptych
from triptych.cli.main import main

__all__ = ["HANGS", "PACKAGE", "Ended", "Fork", "command", "crowded", "end_all", "fork", "status"]

HANGS = 120.0
"""Seconds after which a fork is said to hang, on a machine that nobody else keeps busy."""

PACKAGE = Path(triptych.__path__[0]).absolute().parent

ROOM = 1 << 20
"""Bytes that may be said while nobody listens."""

LOOKS = 0.002
"""Seconds between two looks at a fork."""


@dataclass(frozen=True)
class Ended:
    """What became of a fork."""

    words: tuple[str, ...]
    """Of its command, where it is one."""
    code: int
    """Its exit code; below 0 the signal that ended it."""
    said: str
    """All that it said, to either output."""
    memory: int
    """Bytes at the peak."""
    hangs: bool
    """Whether it had to be ended."""

    @property
    def sentence(self) -> str:
        """The last thing that it said as a command says an error; empty where it said none."""
        lines = [line for line in self.said.splitlines() if line.startswith("triptych: ")]
        return lines[-1] if lines else ""

    def unsound(self) -> str:
        """Why this is no way for a command to end; empty where it is done, or said in a sentence why not."""
        if self.hangs:
            return f"{self} hangs: {self.said[-1500:]}"
        if self.code < 0:
            return f"{self} was ended by signal {-self.code}"
        if "Traceback" in self.said or self.code not in (0, 2):
            return f"{self} ended with code {self.code}: {self.said[-1500:]}"
        return "" if self.code == 0 or self.sentence else f"{self} ended without a sentence"

    def __str__(self) -> str:
        return f"`triptych {' '.join(self.words)}`"


class Fork:
    """A process that runs."""

    def __init__(self, process: int, pipe: int, words: tuple[str, ...]) -> None:
        self.process, self.pipe, self.words = process, pipe, words
        self.code: int | None = None
        self.memory = 0
        self.said = b""
        self.silent = False
        """Whether nobody is left that could say something."""
        _running.add(self)

    def over(self, begun: bool = False) -> bool:
        """Whether it has ended and, where that is asked, whoever it began and let speak in its place has too."""
        if self.code is None:
            found, state, usage = os.wait4(self.process, os.WNOHANG)
            if found:
                self.code, self.memory = os.waitstatus_to_exitcode(state), usage.ru_maxrss * 1024
        self._hear()
        if self.code is None or (begun and not self.silent):
            return False
        _running.discard(self)
        if not self.silent:
            _left.add(self)
        return True

    def wait(self, seconds: float = HANGS, begun: bool = False) -> Ended:
        """What it came to; ended itself where it takes longer, or where this one is interrupted meanwhile."""
        began, hangs = time.monotonic(), False
        try:
            while not self.over(begun):
                if time.monotonic() - began > seconds * crowded():
                    self.end()
                    hangs = True
                    break
                time.sleep(LOOKS)
        except BaseException:
            self.end()
            raise
        assert self.code is not None
        said = self.said.decode("utf-8", "replace")
        return Ended(self.words, self.code, said, self.memory, hangs)

    def kill(self) -> None:
        """SIGKILL for it alone."""
        os.kill(self.process, signal.SIGKILL)

    def end(self) -> None:
        """SIGKILL for it and all that it began, which are gone then."""
        whole = []
        if self.code is None:
            # It begins nothing any more, and still is who the others come from.
            os.kill(self.process, signal.SIGSTOP)
            whole = [*_descendants(self.process), self.process]
        for process in whole:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        # Who lost its parent before, and still speaks in its place.
        with suppress(ProcessLookupError):
            os.killpg(self.process, signal.SIGKILL)
        while not self.over() or any(map(_alive, whole)):
            time.sleep(LOOKS)

    def _hear(self) -> None:
        while not self.silent:
            try:
                more = os.read(self.pipe, 1 << 16)
            except BlockingIOError:
                return
            self.said += more
            if not more:
                os.close(self.pipe)
                self.silent = True


_running: set[Fork] = set()
_left: set[Fork] = set()
"""Forks that have ended, and of which others still speak: who closed their pipe would end them."""


def crowded() -> float:
    """How much longer anything may take here than on a machine of its own: processes that want a core, for each core."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def end_all() -> None:
    """End what still runs."""
    for one in list(_running):
        one.end()


def fork(do: Callable[[], int], words: Sequence[str] = (), memory: int | None = None) -> Fork:
    """Begin ``do`` in a process of its own, which may take so much ``memory`` more than this one; its exit code is what it returns."""
    for one in list(_left):
        one._hear()
        if one.silent:
            _left.discard(one)
    reads, writes = os.pipe()
    os.set_blocking(reads, False)
    with suppress(OSError):
        fcntl.fcntl(reads, fcntl.F_SETPIPE_SZ, ROOM)
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process:
        os.close(writes)
        return Fork(process, reads, tuple(words))
    code = 70
    try:
        _settle(writes)
        if memory is not None:
            hard = resource.getrlimit(resource.RLIMIT_AS)[1]
            resource.setrlimit(resource.RLIMIT_AS, (status("VmSize") + memory, hard))
        code = do()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        # Nothing of the process that it was forked from is to be flushed or ended here.
        os._exit(code)


def _settle(says: int) -> None:
    """A child's own session, outputs, input and signals."""
    # Away from the terminal's Ctrl-C.
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for stream in (1, 2):
        os.dup2(says, stream)
    os.close(says)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    # What the parent has not written yet is not the child's to write.
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", buffering=1, closefd=False)


def command(
    words: Sequence[str | Path],
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    first: Callable[[], object] = lambda: None,
) -> Fork:
    """Begin ``triptych WORDS`` in a folder and with more variables, after something that is done there ``first``."""
    told, given = tuple(map(str, words)), environment or {}

    def do() -> int:
        if folder is not None:
            os.chdir(folder)
        # What the command begins itself is to be the same product, from whatever folder.
        paths = [given.get("PYTHONPATH"), str(PACKAGE), os.environ.get("PYTHONPATH")]
        os.environ.update(given)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        first()
        return main(list(told))

    return fork(do, told)


def status(name: str, process: int | str = "self") -> int:
    """What the system says of a process, in bytes where it is memory: VmSize, VmRSS, VmHWM."""
    text = Path(f"/proc/{process}/status").read_text()
    return int(text.split(f"{name}:")[1].split()[0]) * (1024 if name.startswith("Vm") else 1)


def _descendants(process: int) -> list[int]:
    """All that a process began, and these."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        # Those that end meanwhile are not there any more.
        with suppress(OSError):
            children.setdefault(status("PPid", folder.name), []).append(int(folder.name))
    found = [process]
    for one in found:
        found += children.get(one, [])
    return found[1:]


def _alive(process: int) -> bool:
    """Whether it is there, and not only what is left of it until somebody asks."""
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False
