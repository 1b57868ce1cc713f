"""The page in a process of its own, beside a training: ``python -m triptych.live.beside PORT FOLDER …``.

It says its address and its entrance, or why there are none, on its standard output. When its standard input ends, since what it watches has ended or died, it tells
the pages that are open and ends too. Nothing of it stays.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

from triptych.errors import TriptychError, printable
from triptych.processes import child, last_line, same_packages

__all__ = ["Page", "modest", "serve"]

NICE = 10
"""How far it steps back for a training that wants the cores: it is asked every other second."""

ENDS = 20.0
"""Seconds for which its end is waited for."""


class Page:
    """A page that follows runs, until it is closed: a `with` block closes it, and so does the end of the program.

    Example:
        >>> with Page([run.path]) as page:
        ...     page.address.startswith("http://127.0.0.1:")
        True
    """

    def __init__(self, folders: Sequence[str | Path], port: int = 0) -> None:
        words = ["triptych.live.beside", str(port), *(str(folder) for folder in folders)]
        with TemporaryDirectory(prefix="triptych-watch-") as name:
            log = Path(name) / "errors"
            with log.open("wb") as errors:
                self._process = child(words, subprocess.PIPE, errors, same_packages())
            self.address = self._line()
            """What to open in a browser."""
            self.entrance = self._line()
            """What leads one browser there, once: it may stand in a command line, which others on this machine see."""
            if not self.entrance:
                self.close()
                why = self.address or printable(last_line(log))
                raise TriptychError(why or "the page that watches could not be begun")

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode(errors="replace").strip()

    def close(self) -> None:
        """Tell the pages that are open that this is the end, and end."""
        self._process.stop()
        try:
            self._process.wait(ENDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Page:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Page at {self.address}>"

    def _repr_html_(self) -> str:
        """A link for a notebook."""
        return f'<a href="{self.address}" target="_blank" rel="noopener">{self.address}</a>'


def modest() -> None:
    """Let every training on this machine go first."""
    with suppress(OSError, AttributeError):
        os.nice(NICE)


def serve(port: int, folders: Sequence[str]) -> None:
    """Serve the page until standard input ends."""
    from triptych.live.server import Server
    from triptych.live.state import State

    modest()
    with Server(State(folders), port) as server:
        print(server.address, server.entrance, sep="\n", flush=True)
        while os.read(0, 1):
            pass
        server.finish()


if __name__ == "__main__":
    try:
        serve(int(sys.argv[1]), sys.argv[2:])
    except (TriptychError, OSError) as error:
        print(printable(str(error)), flush=True)
        sys.exit(2)
