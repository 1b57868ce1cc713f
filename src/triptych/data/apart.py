"""Work of parsers that are not ours in a process of its own: a crash of theirs is a sentence, and not the end of this process.

A file can end compiled code, of pyarrow or of Pillow, with a signal, which no program survives. What is decoded goes
to files anyway, so that nothing but words goes between the two processes.
"""

from __future__ import annotations

import json
import mmap
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from triptych.data.names import as_text, few
from triptych.errors import MachineError, TriptychError, machine
from triptych.processes import child, interrupt_at_end_of_input, last_line, same_packages
from triptych.progress import Progress

__all__ = ["answer", "apart", "at"]

T = TypeVar("T")

WORK, ANSWER, MARKS, ERRORS = "work", "answer", "marks", "errors"
"""Files by which the two processes tell each other: what is to be done, what came of it, what is being read, what was said."""

MARK, MOST = 512, 512
"""Bytes of a name that is being read, and threads of which one is known."""

_marks: mmap.mmap | None = None
_free = list(range(MOST))


@contextmanager
def at(name: str) -> Iterator[None]:
    """Within it this thread gives ``name`` to a parser: where that ends the process, whoever began it can say so."""
    if _marks is None or not _free:
        yield
        return
    slot = _free.pop()
    start = slot * MARK
    _marks[start : start + MARK] = os.fsencode(name)[:MARK].ljust(MARK, b"\0")
    try:
        yield
    finally:
        _marks[start] = 0
        _free.append(slot)


def apart(work: Callable[[Progress], T], root: Path, progress: Progress) -> T:
    """What ``work(progress)`` gives or raises in a process of its own.

    Args:
        work: goes there as a pickle, and so comes what it gives.
        root: what it reads, for a sentence.
        progress: is told here what is told there.

    Raises:
        TriptychError: the process was ended by what it read, which is named.
        MachineError: the process was killed.
    """
    if not sys.executable or getattr(sys, "frozen", False):
        # This program cannot begin a Python process.
        return work(progress)
    with TemporaryDirectory(prefix="triptych-apart-") as name:
        folder = Path(name)
        with machine("write", folder):
            with (folder / WORK).open("wb") as file:
                pickle.dump(work, file)
            # Written and not left as a hole: a disk without room for it would be a signal later.
            (folder / MARKS).write_bytes(bytes(MARK * MOST))
        with (folder / ERRORS).open("wb") as errors:
            words = ["triptych.data.worker", name]
            with child(words, subprocess.PIPE, errors, same_packages()) as process:
                assert process.stdout is not None
                try:
                    for line in process.stdout:
                        progress(*json.loads(line))
                    code = process.wait()
                except BaseException:
                    process.kill()
                    raise
        if code:
            raise _ended(code, root, folder)
        done, found = pickle.loads((folder / ANSWER).read_bytes())
    if not done:
        raise found
    value: T = found
    return value


def _ended(code: int, root: Path, folder: Path) -> TriptychError:
    """What to say of a process that ended without an answer."""
    marks = (folder / MARKS).read_bytes()
    held = (marks[start : start + MARK] for start in range(0, len(marks), MARK))
    names = [os.fsdecode(mark.rstrip(b"\0")) for mark in held if mark[0]]
    where = f" at {'one of ' * (len(names) > 1)}{few(names, 8)}" if names else ""
    if code == -signal.SIGKILL:
        return MachineError(
            f"the process that reads {root} was killed{where}, as a system does where memory runs out; "
            "run the command again with more memory"
        )
    if code < 0:
        how = f"signal {-code}"
        with suppress(ValueError):
            how += f", {signal.Signals(-code).name}"
    else:
        how = f"exit code {code}"
        said = last_line(folder / ERRORS)
        how += f", {as_text(said)}" if said else ""
    what = "that file" if len(names) == 1 else "what is damaged there"
    return TriptychError(
        f"reading {root} ended the reader's process{where} ({how}); repair or remove {what}"
    )


def answer(name: str) -> None:
    """Do in this process what `apart` asks for in a folder, and leave there what came of it."""
    global _marks
    interrupt_at_end_of_input()
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    folder = Path(name)
    with (folder / MARKS).open("r+b") as marks:
        _marks = mmap.mmap(marks.fileno(), 0)
    with (folder / WORK).open("rb") as file:
        work = pickle.load(file)

    def progress(what: str, done: int, total: int) -> None:
        print(json.dumps([what, done, total]), flush=True)

    found: tuple[bool, object]
    try:
        found = True, work(progress)
    except TriptychError as error:
        kind = MachineError if isinstance(error, MachineError) else TriptychError
        found = False, kind(str(error))
    except (OSError, MemoryError) as error:
        found = False, error
    (folder / ANSWER).write_bytes(pickle.dumps(found))
