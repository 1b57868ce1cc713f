"""A run that goes on, read as it grows: what was read once is not read again, and of a long log little is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from io import BufferedReader, BytesIO
from os import fstat
from pathlib import Path
from typing import Any, TypeVar

from triptych import records
from triptych.config import Duration
from triptych.errors import DamagedError, TriptychError
from triptych.files import regular
from triptych.runs import Run, Status

__all__ = ["KEPT", "Followed", "Log", "Thinned"]

T = TypeVar("T")

KEPT = 400
"""Lines of one kind that are kept at least where there are so many, and twice as many at most: a chart has no room for more."""

KINDS = 100
"""Kinds of lines that are told apart; no training has nearly as many."""

PIECE = 4_000_000
"""Bytes that are read at once; what is left is read at the next look."""

BEHIND = 16_000_000
"""Bytes of a log that are read at most when it is first looked at: its end tells how the training is."""

KNOWN = 256
"""Bytes before the place that was read to, by which a log is known again."""

FRESH = 60.0
"""Seconds since the last line within which a run is taken for a running one until its lock was asked."""

SURE = 10.0
"""Seconds for which a pace has to be seen to be believed more than the times in the log, which leave out validation."""


class Thinned:
    """Of lines that come one after another some, at equal distances, and always the last.

    Example:
        >>> lines = Thinned()
        >>> for number in range(10 * KEPT + 1):
        ...     lines.add(number, {"step": number})
        >>> found = [number for number, _ in lines]
        >>> found[:3], found[-1], KEPT <= len(found) <= 2 * KEPT
        ([0, 8, 16], 4000, True)
    """

    def __init__(self) -> None:
        self.kept: list[tuple[int, dict[str, Any]]] = []
        self.last: tuple[int, dict[str, Any]] | None = None
        self.seen, self.every = 0, 1

    def add(self, number: int, line: dict[str, Any]) -> None:
        """Take in one line; ``number`` is its place among all."""
        self.last = number, line
        if self.seen % self.every == 0:
            self.kept.append(self.last)
        if len(self.kept) >= 2 * KEPT:
            self.kept, self.every = self.kept[::2], 2 * self.every
        self.seen += 1

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        yield from self.kept
        if self.last is not None and self.kept[-1] is not self.last:
            yield self.last


class Log:
    """metrics.jsonl as far as it was read, thinned for each kind of line: a line's kind is what it logs.

    A training that goes on replaces the file by a shorter one, and then it is read anew. Raises nothing: what is
    wrong with the file is in ``wrong``, and what was read before stays.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._looked: tuple[int, int, int] | None = None
        self._begin()

    def _begin(self) -> None:
        self.file, self.place, self._known = 0, 0, b""
        self.kinds: dict[frozenset[str], Thinned] = {}
        self.count = 0
        self.latest: dict[str, Any] | None = None
        self.skipped = 0
        """Bytes at the beginning that were too many to be read."""
        self.more = False
        """Whether there is more than was read at the last look."""
        self.written = 0.0
        """When the file was last written to, in seconds since 1970."""
        self.wrong = ""

    def follow(self) -> bool:
        """Read what is new; whether anything was."""
        try:
            about = self.path.stat()
            looked = (about.st_ino, about.st_size, about.st_mtime_ns)
            if looked == self._looked and not self.more:
                return False
            self._looked, self.wrong = looked, ""
            with regular(self.path) as file:
                self._read(file)
        except FileNotFoundError:
            there_was = self._looked is not None
            self._looked = None
            self._begin()
            return there_was
        except (TriptychError, OSError) as error:
            self.wrong, self.more = str(error), False
        return True

    def _read(self, file: BufferedReader) -> None:
        about = fstat(file.fileno())
        if about.st_ino != self.file or about.st_size < self.place or not self._goes_on(file):
            self._begin()
        self.file, self.written = about.st_ino, about.st_mtime
        if not self.place and about.st_size > BEHIND:
            file.seek(about.st_size - BEHIND)
            file.readline(PIECE)
            self.place = self.skipped = file.tell()
        file.seek(self.place)
        data = file.read(PIECE)
        self.more = len(data) == PIECE
        began = self.place
        try:
            for line in BytesIO(data):
                if line.endswith(b"\n"):
                    self._take(line)
        finally:
            self._known = (self._known + data[: self.place - began])[-KNOWN:]
        if self.more and self.place == began:
            raise DamagedError(self.path, f"it has a line of more than {PIECE:,} bytes")

    def _goes_on(self, file: BufferedReader) -> bool:
        """Whether what was read last still stands where it did: a copy over the file keeps its place on the disk."""
        file.seek(self.place - len(self._known))
        return file.read(len(self._known)) == self._known

    def _take(self, line: bytes) -> None:
        if line != b"\n":
            found = records.entry(line, self.path, f"the line at byte {self.place:,}")
            kind = frozenset(found)
            if kind not in self.kinds and len(self.kinds) >= KINDS:
                kind = frozenset()
            self.kinds.setdefault(kind, Thinned()).add(self.count, found)
            self.count += 1
            self.latest = found
        self.place += len(line)

    def lines(self) -> list[dict[str, Any]]:
        """What is kept, in the order of the file."""
        every = [pair for kind in self.kinds.values() for pair in kind]
        return [line for _, line in sorted(every, key=lambda pair: pair[0])]


class Followed(Run):
    """A run whose files are read again only when they were written to; its log is the thinned one.

    Example:
        >>> run = Run.create(tmp_path / "live", {"train": {"duration": "4 steps"}})
        >>> run.log({"step": 1, "epoch": 0.5, "seconds": 2.0})
        >>> followed = Followed(run.path)
        >>> followed.follow(), followed.follow(), followed.share(), followed.total()
        (True, False, 0.25, 4)
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.tail = Log(self.path / "metrics.jsonl")
        self.asked = float("-inf")
        """When it was last asked whether somebody trains the run, in the seconds of `time.monotonic`."""
        self._kept: dict[str, tuple[object, Any]] = {}
        self._marks: object = None
        self._busy = False
        self._seen: tuple[tuple[float, float], ...] = ()
        self._file = 0
        self._lines: list[dict[str, Any]] | None = None

    def follow(self) -> bool:
        """Look for what is new in the folder; whether anything is."""
        grew = self.tail.follow()
        marks = [_stamp(self.path / name) for name in ("DONE", "FAILED", "results.json")]
        news = grew or marks != self._marks
        if grew:
            if self._marks is not None:
                self._busy = True
            self._lines = None
            self._pace()
        if self._marks is None:
            self._busy = time.time() - self.tail.written < FRESH
        self._marks = marks
        return news

    def ask(self) -> bool:
        """Ask the lock whether somebody trains the run; whether that is news."""
        self.asked = time.monotonic()
        before = self._busy
        self._busy = super()._status() == "running"
        return self._busy != before

    def quiet(self, seconds: float) -> bool:
        """Whether it has not ended, and neither its log nor its lock has said for so long that somebody trains it."""
        if self._status() in ("done", "failed"):
            return False
        silent = time.time() - self.tail.written >= seconds
        return silent and time.monotonic() - self.asked >= seconds

    def _status(self) -> Status:
        for name, status in (("DONE", "done"), ("FAILED", "failed")):
            if (self.path / name).exists():
                return status  # type: ignore[return-value]
        return "running" if self._busy else "interrupted"

    def metrics(self) -> list[dict[str, Any]]:
        """The lines that are kept of the log."""
        if self._lines is None:
            self._lines = self.tail.lines()
        return self._lines

    def _config(self) -> dict[str, Any]:
        return self._while_same("config.toml", super()._config)

    def environment(self) -> dict[str, Any]:
        """What environment.json holds."""
        return self._while_same("environment.json", super().environment)

    def _recorded(self) -> dict[str, dict[str, Any]]:
        return self._while_same("results.json", super()._recorded)

    def about(self, which: str) -> dict[str, Any]:
        """What a checkpoint says of itself."""
        name = f"checkpoints/{which}.safetensors"
        return self._while_same(name, lambda: super(Followed, self).about(which))

    def _while_same(self, name: str, read: Callable[[], T]) -> T:
        """What ``read`` gave since the file ``name`` is as it is."""
        stamp = _stamp(self.path / name)
        if name not in self._kept or self._kept[name][0] != stamp:
            self._kept[name] = stamp, read()
        found: T = self._kept[name][1]
        return found

    def share(self) -> float | None:
        """How much of the training is behind it, from 0 to 1; none where config.toml does not say how long it is."""
        duration, latest = self._duration(), self.tail.latest
        if duration is None:
            return None
        reached = (latest or {}).get("epoch" if duration.unit == "epochs" else "step", 0)
        return min(1.0, float(reached) / duration.amount)

    def total(self) -> int | None:
        """Steps of the whole training, as far as that can be known by now."""
        duration, latest = self._duration(), self.tail.latest
        if duration is None or duration.unit == "steps":
            return None if duration is None else round(duration.amount)
        if not latest or not latest.get("epoch"):
            return None
        return round(float(latest["step"]) * duration.amount / float(latest["epoch"]))

    def _duration(self) -> Duration | None:
        told = self.config.get("train", {}).get("duration")
        try:
            return Duration.parse(told) if isinstance(told, str) else None
        except TriptychError:
            return None

    def left(self) -> float | None:
        """Seconds that the training still took when it last wrote to its log; none before that can be known."""
        share, latest = self.share(), self.tail.latest
        if share is None or latest is None or not self._seen or not 0 < share < 1:
            return None
        (first, from_share), (last, _) = self._seen
        if last - first >= SURE and share > from_share:
            return (1 - share) * (last - first) / (share - from_share)
        seconds = latest.get("seconds")
        return (1 - share) / share * float(seconds) if seconds else None

    def _pace(self) -> None:
        """Note how far the run was when: since the first look, and anew where it goes on, which makes a new file of the log."""
        share = self.share()
        if share is None:
            return
        now = (self.tail.written, share)
        began = self._seen[0] if self._seen and self._file == self.tail.file else now
        self._seen, self._file = (began, now), self.tail.file


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written; none where there is none."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_ino, about.st_size, about.st_mtime_ns
