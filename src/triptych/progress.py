"""How long work says where it is: a bar in a terminal, a bar in a notebook, nothing where nobody watches."""

from __future__ import annotations

import html
import importlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeAlias

from triptych.errors import printable

__all__ = ["Bars", "Progress", "bars", "in_notebook", "silent", "watched"]

Progress: TypeAlias = Callable[[str, int, int], None]
"""``progress(what, done, total)``: `what` names the work and its unit; total 0 is unknown."""

OFTEN = 0.1
"""Seconds between two pictures of a bar in a notebook, each of which is sent to the browser."""


class Bars(Protocol):
    """A `Progress` that has room for a word on how the work goes."""

    def __call__(self, what: str, done: int, total: int, said: str = "") -> None:
        """Show that ``done`` of ``total`` is done of what; ``said`` stands beside the bar."""
        ...


def silent(what: str, done: int, total: int, said: str = "") -> None:
    """Say nothing."""


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this, so that pictures reach a reader."""
    # Asked without importing: who has not imported IPython is in no kernel.
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


def watched() -> bool:
    """Whether somebody sees what a function shows: a kernel, or a terminal that its output goes to."""
    return in_notebook() or (sys.stdout.isatty() and sys.stderr.isatty())


@contextmanager
def bars(shown: bool = True) -> Iterator[Bars]:
    """Bars on standard error, or below a notebook's cell, one for each `what` from its first call on.

    They are gone at the end. Where nobody watches, or with ``shown`` false, there are none.

    Example:
        >>> with bars() as progress:
        ...     progress("reading train (images)", 10, 10)
    """
    if not shown:
        yield silent
    elif in_notebook():
        with _in_cell() as progress:
            yield progress
    else:
        with _in_terminal() as progress:
            yield progress


@contextmanager
def _in_terminal() -> Iterator[Bars]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Drawn

    console = Console(stderr=True)
    if not console.is_terminal:
        # Not Rich's own `disable`: before 14.3 it ends with an empty line all the same.
        yield silent
        return
    drawn = Drawn(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
        TextColumn("gone,"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        transient=True,
    )
    tasks: dict[str, TaskID] = {}

    def progress(what: str, done: int, total: int, said: str = "") -> None:
        # A name in it may look like markup, or be meant for the terminal.
        said = escape(printable(said))
        if not tasks:
            drawn.start()
        if what not in tasks:
            tasks[what] = drawn.add_task(escape(printable(what)), said=said)
        drawn.update(tasks[what], completed=done, total=total or None, said=said)

    try:
        yield progress
    finally:
        if tasks:
            drawn.stop()


@contextmanager
def _in_cell() -> Iterator[Bars]:
    """Bars that are one output of the cell, replaced in place.

    Rich's own need ipywidgets, and without them draw nothing until the work has ended.
    """
    # Whoever is in a kernel has it; its functions have no types.
    shown: Any = importlib.import_module("IPython.display")
    began: dict[str, float] = {}
    latest: dict[str, str] = {}
    handle: Any = None
    sent = 0.0

    def progress(what: str, done: int, total: int, said: str = "") -> None:
        nonlocal handle, sent
        now = time.monotonic()
        seconds = now - began.setdefault(what, now)
        latest[what] = bar(what, done, total, said, seconds)
        if handle is None:
            handle = shown.display(shown.HTML("".join(latest.values())), display_id=True)
        elif now - sent >= OFTEN:
            handle.update(shown.HTML("".join(latest.values())))
        else:
            return
        sent = now

    try:
        yield progress
    finally:
        if handle is not None:
            handle.update(shown.HTML(""))


def bar(what: str, done: int, total: int, said: str, seconds: float) -> str:
    """A bar as HTML; every text in it is escaped.

    Example:
        >>> "3 of 12 · 0:06 left" in bar("<b>", 3, 12, "", 2.0), "&lt;b&gt;" in bar("<b>", 3, 12, "", 2.0)
        (True, True)
    """
    left = f"{_clock(seconds * (total - done) / done)} left" if 0 < done < total else ""
    count = f"{done:,} of {total:,}" if total else f"{done:,}"
    words = " · ".join(html.escape(printable(part)) for part in (count, said, left) if part)
    share = f'value="{done}" max="{total}"' if total else ""
    return (
        '<div style="font: 13px system-ui, sans-serif; display: flex; flex-wrap: wrap; gap: 0 0.8em">'
        f"<span>{html.escape(printable(what))}</span>"
        f'<progress {share} style="width: 16em"></progress><span>{words}</span></div>'
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
