"""Files of anybody: every reader of data and of a run's folder is given damaged ones, by the thousand.

The product succeeds or raises its own error, in a sentence that a terminal does not obey. Anything else is a loss:
another exception, a signal, more than `SECONDS`, asking for `MEMORY` or filling `HELD` more than before. So is a refusal
of a file that is sound. The file is then kept
in the folder, ``lost-NUMBER-KIND``, and is read again with ``python torture/hostile.py KIND FILE``.

A batch of files is read by a process that was forked for it, so that a signal, a hang or a lack of memory ends that
process alone; the number of the file on which it ended stands in memory that both share.

Guided by coverage: where the parser is ours (`readers.Target.ours`), every fourth batch is traced. A file that
makes two lines of these modules follow each other that never did before is added to the sound ones, from which
later files are made. So damage piles up that a parser lets pass up to deeper and deeper places.
"""

from __future__ import annotations

import math
import mmap
import os
import pickle
import random
import re
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import readers
from attack import Blow
from forked import Ended, crowded, fork, status
from readers import Target

from triptych.errors import TriptychError, printable

__all__ = ["attack"]

SECONDS = 20
"""In which a file is read or refused."""

MEMORY = 2_000_000_000
"""Bytes that reading one may ask for."""

PAGE = 2**31
"""Bytes that a page of Parquet may promise: pyarrow asks for them, in the process that reads for ours, before it sees that they are not there."""

HELD = 1_600_000_000
"""Bytes that reading some hundred may fill: Pillow decodes a picture of up to 179 million pixels, of 266 bytes too."""

FIRST, BATCH = 100, 500
"""Files of a kind at once, in the first round and later; of those that cost more, fewer."""

TRACED = 4
"""Of so many batches one is traced."""

CORPUS, LARGEST = 300, 100_000
"""Files that are kept for the way they take through a parser, and bytes of one, at most."""

NO_FILES = 250
"""Of so many files one is no file but something else of that name."""


class Told(NamedTuple):
    """What a process says of its batch."""

    read: int
    lost: list[tuple[int, str]]
    found: list[bytes]
    edges: set[Any]


def attack(folder: Path, draw: random.Random) -> Iterator[Blow]:
    """A blow for each batch, and one for each file that was lost."""
    warnings.simplefilter("ignore")
    kinds = readers.targets(folder / "sound")
    corpus = {target.name: list(target.sound) for target in kinds}
    edges: dict[str, set[Any]] = {target.name: set() for target in kinds}
    size, losses = FIRST, 0
    for target in kinds:
        if why := _refused(target, folder):
            yield Blow(target.name, why)
    while True:
        for target in kinds:
            seed, count = draw.getrandbits(62), max(2, size // target.cost)
            traced = bool(target.ours) and draw.randrange(TRACED) == 0
            batch = _Batch(target, corpus[target.name], edges[target.name], seed, count, traced)
            lost, found, reached = batch.read_in(folder)
            edges[target.name] |= reached
            kept = corpus[target.name]
            kept += [data for data in found if len(data) <= LARGEST][: CORPUS - len(kept)]
            for number, why in lost:
                losses += 1
                data = batch.item(number)[0]
                place = folder / f"lost-{losses}-{target.name.replace('/', '-')}"
                place.write_bytes(data if data is not None else b"")
                yield Blow(target.name, f"{why} (no. {number} of seed {seed}: {place})")
            yield Blow(target.name, count=count - len(lost))
        size = BATCH


def _refused(target: Target, folder: Path) -> str:
    """Why a file that is sound was not read; nothing where all were, or the kind is none that is read."""

    def read() -> int:
        work = folder / "work"
        shutil.copytree(target.base, work)
        os.environ["TRIPTYCH_CACHE"] = str(folder / "cache")
        for data in target.sound:
            (work / target.file).write_bytes(data)
            target.read(work, random.Random(0))
        return 0

    ended = fork(read).wait()
    for name in ("work", "cache"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return "" if ended.code == 0 or target.foreign else f"a sound file: {_how(ended)}"


class _Batch:
    """Files of one kind, each of which follows from its number."""

    def __init__(
        self,
        target: Target,
        sound: list[bytes],
        edges: set[Any],
        seed: int,
        count: int,
        traced: bool,
    ) -> None:
        self.target, self.sound, self.edges = target, tuple(sound), edges
        self.seed, self.count, self.traced = seed, count, traced

    def item(self, number: int) -> tuple[bytes | None, random.Random]:
        """The content of a file, none for one that is none, and what else is drawn for it."""
        draw = random.Random(f"{self.target.name} {self.seed} {number}")
        if draw.randrange(NO_FILES) == 0:
            return None, draw
        return self.target.change(draw.choice(self.sound), draw), draw

    def read_in(self, folder: Path) -> tuple[list[tuple[int, str]], list[bytes], set[Any]]:
        """What was lost, by number; files that took new ways, and these. As many processes as it takes."""
        lost: list[tuple[int, str]] = []
        found: list[bytes] = []
        edges: set[Any] = set()
        first = 0
        with mmap.mmap(-1, 8) as reached:
            while first < self.count:
                with tempfile.TemporaryDirectory(prefix="batch-", dir=folder) as place:
                    work = partial(self._work, Path(place), first, reached)
                    # It has a time for every file.
                    ended = fork(work, memory=MEMORY).wait(math.inf)
                    told = Path(place) / "told"
                    if told.is_file() and ended.code == 0:
                        said: Told = pickle.loads(told.read_bytes())
                        lost += said.lost
                        found += said.found
                        edges |= said.edges
                        break
                (number,) = struct.unpack("q", reached[:])
                lost.append((number, _how(ended)))
                first = number + 1
        return lost, found, edges

    def _work(self, place: Path, first: int, reached: mmap.mmap) -> int:
        """Reads all from the ``first`` on; what there is to say lies in ``told`` then."""
        work = place / "work"
        shutil.copytree(self.target.base, work)
        os.environ["TRIPTYCH_CACHE"] = str(place / "cache")
        # What a process that is ended leaves there goes with it.
        tempfile.tempdir = str(place)
        before = status("VmRSS")
        lost: list[tuple[int, str]] = []
        found: list[bytes] = []
        new: set[Any] = set()
        for number in range(first, self.count):
            reached[:] = struct.pack("q", number)
            data, draw = self.item(number)
            _put(work / self.target.file, data, draw)
            signal.setitimer(signal.ITIMER_REAL, SECONDS * crowded())
            seen: set[Any] = set()
            trace = _tracer(self.target, seen) if self.traced else None
            why = _outcome(lambda: self.target.read(work, draw), trace)  # noqa: B023
            signal.setitimer(signal.ITIMER_REAL, 0)
            if why:
                lost.append((number, why))
            if data is not None and seen - self.edges - new:
                new |= seen
                found.append(data)
        if (grown := status("VmHWM") - before) > HELD:
            lost.append((self.count - 1, f"{grown / 1e9:.1f} GB of memory somewhere in the batch"))
        (place / "told").write_bytes(pickle.dumps(Told(self.count, lost, found, new)))
        return 0


def _how(ended: Ended) -> str:
    if ended.code == -signal.SIGALRM:
        return f"took more than {SECONDS} s"
    if ended.code < 0:
        return f"ended the process with signal {-ended.code}"
    return f"ended the process, code {ended.code}: {ended.said[-300:]}"


def _outcome(read: Callable[[], object], trace: Any) -> str:
    """Nothing where a file was read or refused in a sentence, else what happened instead."""
    sys.settrace(trace)
    try:
        read()
    except TriptychError as error:
        sys.settrace(None)
        if _lacked_memory(error):
            return f"asked for more than {MEMORY / 1e9:.0f} GB: {str(error)[:200]}"
        return (
            ""
            if str(error) == printable(str(error))
            else f"a sentence that a terminal obeys: {str(error)[:300]!r}"
        )
    except Exception as error:
        sys.settrace(None)
        return f"{type(error).__name__}: {str(error)[:200]} {_line(error)}"
    finally:
        sys.settrace(None)
    return ""


def _lacked_memory(error: BaseException | None) -> bool:
    seen = 0
    while error is not None and seen < 20:
        if isinstance(error, MemoryError):
            asked = re.search(r"malloc of size (\d+) failed", str(error))
            return asked is None or int(asked[1]) > PAGE
        error, seen = error.__cause__ or error.__context__, seen + 1
    return False


def _line(error: BaseException) -> str:
    """Where in the product an error was last."""
    last, trace = "", error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if "/triptych/" in code.co_filename:
            last = f"[{Path(code.co_filename).name}:{trace.tb_lineno}]"
        trace = trace.tb_next
    return last


def _tracer(target: Target, seen: set[Any]) -> Any:
    """Notes which lines of the modules that parse follow each other."""
    ours = frozenset(module.__file__ for module in target.ours)

    def begin(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename not in ours:
            return None
        code, last = frame.f_code.co_name, frame.f_code.co_firstlineno

        def line(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal last
            seen.add((code, last, frame.f_lineno))
            last = frame.f_lineno
            return line

        return line

    return begin


def _put(path: Path, data: bytes | None, draw: random.Random) -> None:
    """A file of this content, or something else of its name."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif data is None or path.is_symlink() or not path.is_file():
        path.unlink(missing_ok=True)
    if data is not None:
        # A run that goes on may have taken its folder along.
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return
    match draw.randrange(8):
        case 0:
            os.mkfifo(path)
        case 1:
            path.symlink_to("/dev/zero")
        case 2:
            path.symlink_to(path.name)
        case 3:
            path.symlink_to("nowhere")
        case 4:
            path.mkdir()
        case 5:
            with path.open("wb") as file:
                file.truncate(1 << 37)
        case 6:
            with socket.socket(socket.AF_UNIX) as end:
                # A socket's path may have a hundred characters.
                here = os.open(path.parent, os.O_RDONLY)
                end.bind(f"/proc/self/fd/{here}/{path.name}"[:100])
                os.close(here)
        case _:
            path.symlink_to("/proc/self/mem")


def _again(name: str, file: Path) -> None:
    """Read one kept file as it was read, without a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        (target,) = (t for t in readers.targets(Path(folder) / "sound") if t.name == name)
        work = Path(folder) / "work"
        shutil.copytree(target.base, work)
        (work / target.file).write_bytes(file.read_bytes())
        os.environ["TRIPTYCH_CACHE"] = str(Path(folder) / "cache")
        began = time.monotonic()
        target.read(work, random.Random(0))
        print(f"read in {time.monotonic() - began:.2f} s")


if __name__ == "__main__":
    _again(sys.argv[1], Path(sys.argv[2]))
