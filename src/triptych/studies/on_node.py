"""What a node of a cluster does with a run, and what home, where the study lies, does for it.

Where the node sees the study's folder, the run is worked on there. Where it does not, the run is fetched, worked on
in a folder that lasts as long as the task, and brought back: what changed every few seconds, and at the end all.
"""

from __future__ import annotations

import dataclasses
import io
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

from triptych import files
from triptych.errors import TriptychError, printable
from triptych.studies.process import STOPPED, Errand, begin, last_words

__all__ = ["Home", "Line", "Mailbox", "carry_out", "pack", "unpack"]

BEAT = 1.0
"""Seconds between questions to home whether to go on."""

LAST = ("checkpoints/last.safetensors", "DONE", "FAILED", "MEASURED")
"""The files of a run that say of the others that they are there: at home they are written after these."""


class Line(Protocol):
    """How a node reaches home."""

    def fetch(self) -> bytes:
        """The run as it is at home, packed."""

    def tell(self, changed: bytes, names: Sequence[str] | None) -> bool:
        """Bring what changed, and the names of all there is; whether to go on."""


def carry_out(errand: Errand, mark: tuple[str, str], home: Line, node: str, rhythm: float) -> int:
    """Work on the run until that is done or home says to stop; the exit code of the process.

    ``rhythm`` is the least number of seconds between two times that a run is brought back; a large one is brought at
    most a tenth of the time. ``mark`` is a hidden file in the study's folder, and what it holds: who reads that sees the folder.
    """
    if _sees(errand.folder, mark):
        return _attend(errand, lambda whole: home.tell(b"", None), node)
    with tempfile.TemporaryDirectory(prefix="triptych-") as made:
        names = (made.encode(), str(errand.folder).encode())
        errand = dataclasses.replace(errand, folder=Path(made))
        unpack(home.fetch(), Path(made), "")
        (Path(made) / errand.log).parent.mkdir(parents=True, exist_ok=True)
        copy = Copy(errand, names, rhythm, _stamps(errand))

        def tell(whole: bool) -> bool:
            return home.tell(*(copy.changed() if whole or copy.due() else (b"", None)))

        return _attend(errand, tell, node)


def _sees(folder: Path, mark: tuple[str, str]) -> bool:
    name, content = mark
    try:
        return (folder / name).read_text(encoding="utf-8") == content
    except (OSError, UnicodeDecodeError):
        return False


def _attend(errand: Errand, tell: Callable[[bool], bool], node: str) -> int:
    """Begin the process, and ask home while it works; whatever breaks here stops it in order."""
    if not tell(False):
        return STOPPED
    process = begin(errand)
    try:
        while True:
            try:
                code = process.wait(BEAT)
                break
            except subprocess.TimeoutExpired:
                if not tell(False):
                    process.stop()
    except BaseException:
        process.stop()
        process.wait()
        tell(True)
        raise
    process.stop()
    _name_node(errand.folder / errand.log, code, node)
    tell(True)
    return code


def _name_node(log: Path, code: int, node: str) -> None:
    """What was wrong, missing data say, is wrong on this node."""
    if code not in (1, 2):
        return
    last = last_words(log, code)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"on the node {node}: {last}\n")


@dataclass
class Copy:
    """A run that is worked on far from home: what of it has changed since it was brought there."""

    errand: Errand
    names: tuple[bytes, bytes]
    """What the study's folder is called here, and at home: sentences about it are read there."""
    rhythm: float
    brought: dict[str, tuple[int, int]]
    """Every file's time and size."""
    next: float = 0.0
    """When it is to be brought again."""

    def due(self) -> bool:
        """Whether it is time to bring what changed."""
        return time.monotonic() >= self.next

    def changed(self) -> tuple[bytes, list[str]]:
        """The files and folders that are new or others, packed, and the names of all."""
        began = time.monotonic()
        found = _stamps(self.errand)
        new = [name for name, stamp in found.items() if self.brought.get(name) != stamp]
        # The checkpoint first: all else is read later, and so is at least as new, as at home after a kill.
        new.sort(key=lambda name: not name.endswith(LAST[0]))
        sentences = (self.errand.log, f"{self.errand.run}/FAILED")
        packed = pack(self.errand.folder, new, dict.fromkeys(sentences, self.names))
        self.brought = found
        self.next = time.monotonic() + max(self.rhythm, 10 * (time.monotonic() - began))
        return packed, list(found)


def _stamps(errand: Errand) -> dict[str, tuple[int, int]]:
    """Time and size of the log and of everything in the run's folder that is no link and not hidden."""
    stamps = {}
    for path in (errand.folder / errand.log, *_below(errand.folder / errand.run)):
        try:
            about = path.stat()
        except FileNotFoundError:
            continue
        stamp = (0, 0) if path.is_dir() else (about.st_mtime_ns, about.st_size)
        stamps[path.relative_to(errand.folder).as_posix()] = stamp
    return stamps


def _below(folder: Path) -> Iterator[Path]:
    """The folder and all in it; hidden are locks, and files that are being written."""
    if not folder.is_dir():
        return
    yield folder
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and not path.is_symlink():
            yield path


def pack(
    folder: Path, names: Sequence[str], said: Mapping[str, tuple[bytes, bytes]] | None = None
) -> bytes:
    """Files and folders below ``folder`` as a tar archive; what is not there any more is left out.

    In the files that ``said`` names the first text is replaced by the second.
    """
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for name in names:
            member, path = tarfile.TarInfo(name), folder / name
            if path.is_dir():
                member.type = tarfile.DIRTYPE
                archive.addfile(member)
                continue
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                continue
            if said and name in said:
                content = content.replace(*said[name])
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return written.getvalue()


def unpack(packed: bytes, folder: Path, run: str, log: str = "") -> None:
    """Write what `pack` gave into ``folder``, every file whole or not at all; those that speak of others last.

    Raises `TriptychError` for a name that leads anywhere but below ``run`` there, or to ``log``, and for links.
    """
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        members = archive.getmembers()
        for member in members:
            name = PurePosixPath(member.name)
            inside = name.is_relative_to(run) or member.name == log
            if name.is_absolute() or ".." in name.parts or not inside:
                raise TriptychError(
                    f"a node sent '{printable(member.name)}', which is no part of the run"
                )
            if not (member.isfile() or member.isdir()):
                raise TriptychError(f"a node sent '{printable(member.name)}', which is no file")
        for member in sorted(members, key=_place):
            path = folder / member.name
            if member.isdir():
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            content = archive.extractfile(member)
            assert content is not None
            files.write(path, content.read())


def _place(member: tarfile.TarInfo) -> int:
    return next((i for i, name in enumerate(LAST, 1) if member.name.endswith(f"/{name}")), 0)


@dataclass
class Mailbox:
    """Home: gives runs to the nodes and takes them back, and knows which were begun and are to stop.

    A run that is done again because its node was lost has another number than before: if that node was only slow, what
    it still brings is not taken, and it is told to stop.
    """

    errands: dict[str, tuple[Errand, int]] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    stopping: set[str] = field(default_factory=set)

    def expect(self, key: str, errand: Errand, number: int) -> None:
        """A run is sent, for the ``number``-th time."""
        self.errands[key] = (errand, number)
        self.begun.discard(key)

    def stop(self, key: str) -> None:
        """Have a run saved and ended."""
        self.stopping.add(key)

    def at_work(self) -> set[str]:
        """The runs that a node has begun."""
        return self.begun

    def fetch(self, key: str, number: int) -> bytes:
        """A run as it is here, with what it reads beside."""
        errand, _ = self.errands[key]
        names = [name for name in errand.reads if (errand.folder / name).is_file()]
        return pack(errand.folder, [*names, *_stamps(errand)])

    def tell(self, key: str, number: int, changed: bytes, names: Sequence[str] | None) -> bool:
        """Take what changed of a run, and remove what is not there any more; whether it is to go on."""
        errand, current = self.errands[key]
        if number != current:
            return False
        self.begun.add(key)
        if names is not None:
            unpack(changed, errand.folder, errand.run, errand.log)
            _remove_others(errand, names)
        return key not in self.stopping


def _remove_others(errand: Errand, names: Sequence[str]) -> None:
    """A file that the run has no more, FAILED of one that found no memory say, would speak wrongly of it."""
    for path in _below(errand.folder / errand.run):
        if path.is_file() and path.relative_to(errand.folder).as_posix() not in names:
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Home:
    """A node's `Line` to a `Mailbox`, by whatever ``call(name, *arguments)`` carries there."""

    call: Callable[..., object]
    key: str
    number: int

    def fetch(self) -> bytes:
        """The run as it is at home, packed."""
        packed = self.call("fetch", self.key, self.number)
        assert isinstance(packed, bytes)
        return packed

    def tell(self, changed: bytes, names: Sequence[str] | None) -> bool:
        """Bring what changed; whether to go on."""
        return bool(self.call("tell", self.key, self.number, changed, names))
