"""A run as what a process is told, and the process: on this machine, or what stands here for one elsewhere.

It is imported on the nodes of a cluster by processes that compute nothing themselves: it stays light.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from triptych.processes import Child, child, last_line

__all__ = ["NO_ROOM", "STOPPED", "Begin", "Errand", "Process", "begin", "last_words"]

STOPPED = 130
"""The exit code of a worker that was asked to stop: its run is to go on with."""

NO_ROOM = 75
"""The exit code of a worker whose card had no memory left: whether that is the run's own fault, it cannot know."""


@dataclass(frozen=True)
class Errand:
    """A run that is to be worked on in a folder, and what that takes; its paths are as seen from the folder."""

    folder: Path
    """Of the study or the reproduction."""
    run: str
    """The run's folder in it."""
    log: str
    """Where its process says what goes wrong."""
    module: str
    """What of Triptych is executed."""
    place: str
    """The first word that it is told: a folder in the folder, which is another one on another machine."""
    words: tuple[str, ...] = ()
    """The other words."""
    line: str | None = None
    """A line that it reads first."""
    reads: tuple[str, ...] = ()
    """Files that it needs beside the run."""
    threads: int = 0
    """Its share of the cores, or 0."""
    device: str = "auto"
    """What it computes on, as the config has it."""
    devices: int = 1
    """And on how many."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables beside those that the process finds."""


class Process(Protocol):
    """What works on a run."""

    @property
    def at_work(self) -> bool:
        """Whether it has been begun, and does not wait for room on a cluster."""

    def poll(self) -> int | None:
        """Its exit code, once it has ended."""

    def stop(self) -> None:
        """Ask it to save and end; nothing where it has ended."""

    def wait(self) -> int:
        """Its exit code; this waits for its end."""

    def kill(self) -> None:
        """End it at once."""


Begin = Callable[[Errand], Process]


def begin(errand: Errand) -> Child:
    """Begin an errand on this machine."""
    share = {"OMP_NUM_THREADS": str(errand.threads)} if errand.threads else {}
    first = str(errand.folder / errand.place)
    with (errand.folder / errand.log).open("ab") as said:
        process = child(
            [errand.module, first, *errand.words],
            said,
            said,
            # Libraries that the config does not reach keep to the run's share of the cores too.
            {**errand.environment, **share},
        )
    if errand.line is not None:
        assert process.stdin is not None
        # It may have died already; what that means is seen when it is looked at.
        with suppress(BrokenPipeError):
            process.stdin.write(f"{errand.line}\n".encode())
            process.stdin.flush()
    return process


def last_words(log: Path, code: int | None) -> str:
    """Why a process ended without an outcome: the last line of its log; ``code`` is its exit code, if that is known."""
    if code is not None and code < 0:
        return f"its process was ended by signal {-code} (out of memory, perhaps)"
    ended = "it ended without a word" if code is None else f"it ended with code {code}"
    return last_line(log) or ended
